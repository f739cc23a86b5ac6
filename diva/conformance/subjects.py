"""What is checked: towers of real widths and sizes with random weights, cut to a block a stage; or given files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import timm
import torch

from diva.compat import image_text_models
from diva.conformance.checks import PREPROCESS
from diva.errors import Unknown, did_you_mean
from diva.towers import Clip, TowerInput, load_clip
from diva.towers.build import NO_TEXT, build_model
from diva.towers.trunk import CONFIG, Trunk, build_trunk, sized

# models of timm's that no text tower was trained with, one of each family of ViTs
IMAGE_ONLY: Final = (
    "aimv2_large_patch14_224",
    "beitv2_base_patch16_224",
    "deit3_base_patch16_224",
    "eva02_base_patch14_448",
    "vit_base_patch14_dinov2",
    "vit_base_patch14_reg4_dinov2",
    "vit_base_patch16_224",
    "vit_base_patch16_dinov3",
    "vit_base_patch16_dinov3_qkvb",
    "vit_giant_patch14_dinov2",
    "vit_pe_spatial_base_patch16_512",
)
IMAGE_FIELDS: Final = ("embed_dim", "quick_gelu", "vision_cfg")  # of open_clip's configuration
# how a family of timm's is told to have one block a stage
CUTS: Final[tuple[dict[str, Any], ...]] = (
    {"depth": 1},
    {"depths": (1, 1, 1, 1)},
    {"layers": (1,) * 5},
    {"layers": (1,) * 4},
    {},
)


def all_names() -> tuple[str, ...]:
    """Return the names of open_clip's models of images and texts, and of some of timm's models."""
    return (*image_text_models(), *IMAGE_ONLY)


def image_side(name: str) -> str:
    """Return what is the same for names whose image towers are: several differ in their text tower alone."""
    config = image_text_models().get(name)
    return json.dumps([config.get(key) for key in IMAGE_FIELDS], sort_keys=True) if config else name


@contextmanager
def subject(name: str) -> Iterator[Clip]:
    """Yield the tower of `name`: of a file or folder as it is, of an architecture cut down, with random weights.

    Raises:
        InputError: there is nothing of that name.
    """
    config = image_text_models().get(name)
    with TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(0)
        if config:
            yield _of_open_clip(name, config, Path(folder))
        elif Path(name).exists():
            yield load_clip(name)
        elif ":" not in name and timm.is_model(name):
            yield _of_timm(name)
        else:
            raise Unknown("NAME", f"'{name}' is unknown; {did_you_mean(name, all_names())}")


def _of_open_clip(name: str, config: dict[str, Any], folder: Path) -> Clip:
    vision = dict(config["vision_cfg"])
    if trunk := vision.get("timm_model_name"):
        document: dict[str, Any] = {
            "architecture": trunk,
            "model_args": _arguments(trunk),
            "pretrained_cfg": {},
        }
        (folder / CONFIG).write_text(json.dumps(document))
        vision |= {"timm_model_name": f"local-dir:{folder}", "timm_model_pretrained": False}
    else:
        vision["layers"] = [1, 1, 1, 1] if isinstance(vision["layers"], list) else 1
    # no part of an image tower depends on its text tower
    fields: dict[str, Any] = {key: config[key] for key in IMAGE_FIELDS if key in config}
    cut: dict[str, Any] = {**fields, "custom_text": True, "vision_cfg": vision, "text_cfg": NO_TEXT}
    model = build_model(cut, PREPROCESS)
    return Clip(model=model, architecture=name, source=name, weights=None, input=TowerInput.of(model), config=cut)


def _of_timm(name: str) -> Clip:
    trunk = Trunk(architecture=name, arguments=_arguments(name))
    model = build_trunk(trunk, PREPROCESS)
    return Clip(
        model=model,
        architecture=name,
        source=name,
        weights=None,
        input=TowerInput.of(model),
        config={},
        trunk=trunk,
    )


def _arguments(name: str) -> dict[str, Any]:
    """Return the arguments with which timm builds `name` at its own size, with one block a stage where it can."""
    known = timm.get_pretrained_cfg(name)
    size = known.input_size[1:] if known else (224, 224)
    for cut in CUTS:
        try:
            arguments = sized(name, cut, size)
            with torch.device("meta"):
                timm.create_model(name, num_classes=0, **arguments)(torch.empty(1, 3, *size))
        except (AssertionError, IndexError, RuntimeError, TypeError):  # each family refuses in a way of its own
            continue
        return arguments
    return {}
