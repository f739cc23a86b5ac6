"""transformers' image processors of CLIP and SigLIP, as open_clip's preprocessing of the same pixels."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from diva.documents import read_json
from diva.errors import Damaged, Invalid, Mismatch, Unsupported

FILES = ("preprocessor_config.json", "processor_config.json")
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
USUAL = {"do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
CLIP = {
    **USUAL,
    "do_center_crop": True,
    "image_mean": open_clip.OPENAI_DATASET_MEAN,
    "image_std": open_clip.OPENAI_DATASET_STD,
}
IMAGENET = {**CLIP, "image_mean": IMAGENET_DEFAULT_MEAN, "image_std": IMAGENET_DEFAULT_STD}
SIGLIP = {**USUAL, "do_center_crop": False, "image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}


def read_image_processor(folder: Path, *, siglip: bool, side: int) -> dict[str, Any]:
    """Return open_clip's fields of the folder's image processor, or of the family's own where it has none.

    Args:
        folder: of the model.
        siglip: its family.
        side: of the images that the model reads, in pixels.

    Raises:
        InputError: it does something that open_clip's preprocessing cannot; the sentence names the field.
    """
    found, path = _found(folder)
    kind = str(found.get("image_processor_type", found.get("feature_extractor_type", "")))
    named = re.fullmatch("(CLIP|Siglip)(ImageProcessor|FeatureExtractor)(Fast|Pil)?", kind)
    if kind and not named:
        raise Invalid(path, "image_processor_type", f"{kind} is not known; give CLIP's or SigLIP's")
    siglip = named[1] == "Siglip" if named else siglip
    fields = {**(SIGLIP if siglip else CLIP), **found}
    squash = _resizes(fields, side, path, siglip=siglip)
    return _open_clip_fields(fields, path, squash=squash)


def read_statistics(folder: Path, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return open_clip's fields of an image processor whose sizes play no part, as of a tower of one size.

    Args:
        usual: its fields where the folder says nothing.

    Raises:
        InputError: as for `read_image_processor`.
    """
    found, path = _found(folder)
    fields = {**usual, **found}
    _check_steps(fields, path)
    return _open_clip_fields(fields, path, squash="height" in str(fields.get("size")))


def other_size(folder: Path, side: int) -> str | None:
    """Return the size that the folder's image processor gives pictures, in its own words, unless it is `side`."""
    found, _ = _found(folder)
    cropped = found.get("do_center_crop", True) and "crop_size" in found
    size = found.get("crop_size" if cropped else "size", side)
    same = (side, {"height": side, "width": side}, {"shortest_edge": side})
    return None if size in same else f"{size!r:.60}"


def _found(folder: Path) -> tuple[dict[str, Any], Path | None]:
    """Return what the folder's image processor says, and its file; nothing and None where there is none."""
    path = next((folder / name for name in FILES if os.path.lexists(folder / name)), None)
    found = read_json(path) if path else {}
    if isinstance(found, dict):
        found = found.get("image_processor", found)
    if not isinstance(found, dict):
        raise Damaged(path, "is not an image processor; fetch it again")
    return {name: value for name, value in found.items() if value is not None}, path


def _open_clip_fields(fields: Mapping[str, Any], path: Path | None, *, squash: bool) -> dict[str, Any]:
    factor = _number(fields, "rescale_factor", path) * 255 if fields["do_rescale"] else 255
    if abs(factor - 1) < 1e-6:  # of 1 / 255 as somebody rounded it
        factor = 1
    mean, std = [0.0] * 3, [1.0] * 3
    if fields["do_normalize"]:
        mean, std = _channels(fields, "image_mean", path), _channels(fields, "image_std", path)
    if 0 in std or not factor:
        raise Invalid(path, "image_std, rescale_factor: a pixel divided by 0; correct them")
    return {
        # open_clip's pixels are in 0..1
        "mean": [value / factor for value in mean],
        "std": [value / factor for value in std],
        "interpolation": INTERPOLATIONS[fields["resample"]],
        "resize_mode": "squash" if squash else "shortest",
    }


def _resizes(fields: Mapping[str, Any], side: int, path: Path | None, *, siglip: bool) -> bool:
    """Return whether both sides are resized, to `side`; otherwise the shorter one is, and the centre is cropped."""
    _check_steps(fields, path)
    size = fields.get("size", side)
    if isinstance(size, int):
        size = {"height": size, "width": size} if siglip else {"shortest_edge": size}
    squash = size == {"height": side, "width": side}
    if not squash and size != {"shortest_edge": side}:
        raise Unsupported(
            path, "size", f"{size!r:.60}, but the model reads {side} pixels; only that size is supported"
        )
    if fields["do_center_crop"]:
        crop = fields.get("crop_size", side)
        if crop not in (side, {"height": side, "width": side}):
            raise Mismatch(path, "crop_size", f"{crop!r:.60}, but the model reads {side} pixels; correct it")
    elif not squash:
        raise Invalid(path, "do_center_crop", "false leaves images of any shape; give size a height and a width")
    return squash


def _check_steps(fields: Mapping[str, Any], path: Path | None) -> None:
    for name, value in fields.items():
        if name.startswith("do_") and not isinstance(value, bool):
            raise Invalid(path, name, f"{value!r:.50} is neither true nor false; correct it")
        if name.startswith("do_") and value and name not in (*CLIP, "do_convert_rgb"):
            raise Unsupported(path, name, "is not supported; set it to false if the tower was trained without")
    if not fields["do_resize"]:
        raise Unsupported(path, "do_resize", "a tower's images are always resized; set it to true")
    resample = fields["resample"]
    if not isinstance(resample, int) or resample not in INTERPOLATIONS:
        raise Unsupported(path, "resample", f"{resample!r:.50}; only 2 (bilinear) and 3 (bicubic) are known")


def _number(fields: Mapping[str, Any], name: str, path: Path | None) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(path, name, f"{value!r:.50} is not a number; correct it")
    return value


def _channels(fields: Mapping[str, Any], name: str, path: Path | None) -> list[float]:
    values = fields[name]
    if not isinstance(values, list | tuple) or len(values) != len("rgb"):
        raise Invalid(path, name, f"{values!r:.60} are not numbers of three channels; correct them")
    return [_number({name: value}, name, path) for value in values]
