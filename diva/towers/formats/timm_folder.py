"""timm's own layout, as its hub repositories have it: config.json and the weights of one model.

transformers' `timm_wrapper` folders have the same two files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from diva.documents import read_json
from diva.errors import Missing
from diva.towers.checkpoint import read_state_dict, shards
from diva.towers.formats.settings import check_preprocess, check_trunk
from diva.towers.formats.source import UNKNOWN, TowerSource
from diva.towers.trunk import CONFIG, Trunk, sized

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
PREFIX = "timm_model."  # of transformers' wrapper
GIVEN = ("in_chans", "num_classes", "global_pool")  # which every tower is built with
WHOLE = 1.0  # share of a picture's side that timm keeps


def is_timm(folder: Path) -> bool:
    """Tell whether `folder` is in timm's layout."""
    if not (folder / CONFIG).is_file():
        return False
    fields = read_json(folder / CONFIG)
    return (
        isinstance(fields, dict)
        and fields.get("model_type", "timm_wrapper") == "timm_wrapper"
        and ("architecture" in fields)
    )


def read_timm_folder(folder: Path, weights: Path | None = None) -> TowerSource:
    """Read a model of timm's as an image tower; its classifier, where it has one, is left out.

    Args:
        weights: the file of its weights; the folder's own unless given.

    Raises:
        InputError: timm has no such model, a setting is not known, or the weights are missing or damaged.
    """
    path = folder / CONFIG
    fields = read_json(path)
    known = fields.get("pretrained_cfg") or {}
    check_trunk(fields, path)
    weights = weights or next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise Missing(folder, f"has no weights ({WEIGHT_FILES[0]}); fetch them into the folder")
    preprocess = {
        "mean": list(known.get("mean", (0.485, 0.456, 0.406))),
        "std": list(known.get("std", (0.229, 0.224, 0.225))),
        "interpolation": known.get("interpolation", "bicubic"),
        "resize_mode": "squash" if known.get("crop_mode") == "squash" else "shortest",
        "size": list(known.get("input_size", (3, 224, 224))[1:]),
    }
    check_preprocess(preprocess, path)
    crop = known.get("crop_pct") or WHOLE
    doubts = (f"its pictures lose no margin here, of which timm keeps {crop:g}",) if crop != WHOLE else ()
    name, arguments = fields["architecture"], fields.get("model_args") or {}
    given = {key: value for key, value in arguments.items() if key not in GIVEN}
    own = sized(name, given, preprocess["size"])
    trunk = Trunk(architecture=name, arguments=own, pool=fields.get("global_pool") or "")
    return trunk_source("timm folder", folder, weights, _tensors(weights, name), trunk, preprocess, doubts)


def trunk_source(
    described: str,
    folder: Path,
    weights: Path,
    state: Mapping[str, Tensor],
    trunk: Trunk,
    preprocess: dict[str, Any],
    doubts: tuple[str, ...] = (),
) -> TowerSource:
    """Return the tower that `trunk` with the tensors `state`, in timm's keys, is."""
    vision = {"timm_model_name": trunk.architecture, "image_size": preprocess["size"]}
    return TowerSource(
        format=described,
        path=folder,
        weights=weights,
        state={f"visual.trunk.{key}": value for key, value in state.items()},
        architecture=trunk.architecture,
        config={"vision_cfg": vision, "text_cfg": {}},
        preprocess=preprocess,
        activation=UNKNOWN,
        doubts=doubts,
        trunk=trunk,
    )


def _tensors(weights: Path, name: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for shard in shards(weights):
        state |= read_state_dict(shard)
    known = timm.get_pretrained_cfg(name)
    classifier = known.classifier if known else "head"
    heads = tuple(f"{each}." for each in ([classifier] if isinstance(classifier, str) else classifier or ()))
    state = {key.removeprefix(PREFIX): value for key, value in state.items()}
    return {key: value for key, value in state.items() if not heads or not key.startswith(heads)}
