"""Image towers of timm's that nobody trained with a text tower: DINOv2, DINOv3 and any other model of timm's.

They have no joint space: their tokens stay in the trunk's own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import timm
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.timm_model import TimmModel

from diva.towers.image_only import ImageOnly

CONFIG: Final = "config.json"


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A model of timm's without its classifier.

    Attributes:
        architecture: timm's name.
        arguments: of its constructor, where they differ from what the name stands for.
        pool: how patch tokens become one token; the architecture's own way where it is empty.
    """

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    pool: str = ""


def build_trunk(trunk: Trunk, preprocess: Mapping[str, Any]) -> ImageOnly:
    """Build `trunk` with random weights in `eval()`, on torch's default device.

    Args:
        preprocess: open_clip's `preprocess_cfg`, kept with the model; its size is the trunk's own.
    """
    visual = build_visual(trunk)
    size = getattr(getattr(visual.trunk, "patch_embed", None), "img_size", None)
    known = timm.get_pretrained_cfg(trunk.architecture)
    visual.image_size = tuple(size or (known.input_size[1:] if known else preprocess["size"]))
    model = ImageOnly(visual).eval()
    set_model_preprocess_cfg(model, {**preprocess, "size": visual.image_size})
    return model


def build_visual(trunk: Trunk) -> TimmModel:
    """Build `trunk` with random weights as open_clip wraps it, on torch's default device."""
    with TemporaryDirectory() as folder:
        # timm's own way of building from a name and arguments, which open_clip's wrapper passes on
        document = {"architecture": trunk.architecture, "model_args": trunk.arguments, "pretrained_cfg": {}}
        (Path(folder) / CONFIG).write_text(json.dumps(document))
        name = f"local-dir:{folder}"
        return TimmModel(name, 0, pool=trunk.pool or _own_pool(name), proj="none")


def sized(architecture: str, arguments: Mapping[str, Any], size: Sequence[int]) -> dict[str, Any]:
    """Return `arguments` with pictures of `size`, unless they say one or a model of this kind reads any."""
    if "img_size" in arguments:
        return dict(arguments)
    wanted = {**arguments, "img_size": list(size)}
    try:
        with torch.device("meta"):
            timm.create_model(architecture, num_classes=0, **wanted)
    except Exception:  # that there is no such argument; what else is wrong is said when the model is built
        return dict(arguments)
    return wanted


def _own_pool(name: str) -> str:
    with torch.device("meta"):
        return str(getattr(timm.create_model(name, num_classes=0), "global_pool", "avg"))
