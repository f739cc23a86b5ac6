"""What a configuration from elsewhere may say of a tower: known settings, of their types, within limits.

open_clip and timm pass a configuration on to their constructors, and some settings make those fetch or run things.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

import timm
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg
from pydantic import TypeAdapter, ValidationError

from diva.errors import Damaged, Invalid, Unknown, Unsafe

MODEL: Mapping[str, Any] = {
    "embed_dim": int,
    "vision_cfg": dict,
    "text_cfg": dict,
    "quick_gelu": bool,
    "custom_text": bool,
    "init_logit_scale": float,
    "init_logit_bias": float,
    "nonscalar_logit_scale": bool,
}
VISION = get_type_hints(CLIPVisionCfg)
# a text model of the hub would be fetched
TEXT = {
    name: kind
    for name, kind in get_type_hints(CLIPTextCfg).items()
    if name == "hf_tokenizer_name" or not name.startswith("hf_")
}
PREPROCESS = get_type_hints(PreprocessCfg)
OPTIONS: Mapping[str, Mapping[str, Any]] = {  # of the constructors that a setting's mapping is passed on to
    "norm_kwargs": {"eps": float},
    "act_kwargs": {"approximate": str},
    "tokenizer_kwargs": {"clean": str, "strip_sep_token": bool},
}
TRUNK: Mapping[str, Any] = {  # what timm's ViTs take that a file may say
    "img_size": int | tuple[int, int],
    "patch_size": int | tuple[int, int],
    **dict.fromkeys(("embed_dim", "depth", "num_heads", "reg_tokens", "num_reg_tokens", "num_classes"), int),
    **dict.fromkeys(("mlp_ratio", "init_values"), float),
    **dict.fromkeys(("class_token", "no_embed_class", "dynamic_img_size", "qkv_bias", "qkv_fused"), bool),
    **dict.fromkeys(("fc_norm", "use_fc_norm", "pre_norm", "qk_norm", "swiglu_mlp"), bool),
    "ref_feat_shape": tuple[int, int],
    "global_pool": str,
    "in_chans": Literal[3],
}
PICTURES: Mapping[str, Any] = {  # what timm says of the pictures that a model was trained on
    "input_size": tuple[int, int, int],
    "mean": tuple[float, float, float],
    "std": tuple[float, float, float],
    "crop_pct": float,
    "crop_mode": str,
    "interpolation": str,
}
LARGEST = 2**14  # of any number
LIMITS = {"layers": 512, "vocab_size": 2**21, "pad_id": 2**21, "eos_id": 2**21}


def check_model(config: Mapping[str, Any], path: Path) -> None:
    """Check open_clip's `model_cfg`, read from `path`, before anything is built.

    Raises:
        InputError: a setting is unknown, of another type or out of bounds; the sentence names it.
    """
    _check(config, MODEL, f"{path}: model_cfg")
    _check(config["vision_cfg"], VISION, f"{path}: model_cfg.vision_cfg")
    _check(config["text_cfg"], TEXT, f"{path}: model_cfg.text_cfg")
    trunk = config["vision_cfg"].get("timm_model_name")
    if trunk and (":" in trunk or not timm.is_model(trunk)):  # `local-dir:` and `hf-hub:` lead elsewhere
        raise Unknown(
            path, "model_cfg.vision_cfg.timm_model_name", f"timm has no '{trunk}'; name one of its models"
        )


def check_trunk(fields: Mapping[str, Any], path: Path) -> None:
    """Check timm's description of a model, read from `path`, before anything is built.

    Raises:
        InputError: timm has no such model, or a setting is unknown, of another type or out of bounds.
    """
    name = fields["architecture"]
    if not isinstance(name, str) or ":" in name or not timm.is_model(name):  # `hf-hub:` leads elsewhere
        raise Unknown(path, "architecture", f"timm has no '{name}'; name one of its models")
    _check(fields.get("model_args") or {}, TRUNK, f"{path}: model_args")
    _check({"global_pool": fields.get("global_pool")}, TRUNK, str(path))
    known, where = fields.get("pretrained_cfg") or {}, f"{path}: pretrained_cfg"
    if isinstance(known, dict):
        known = {name: known[name] for name in PICTURES if name in known}  # the others play no part
    _check(known, PICTURES, where)
    for name in ("input_size", "mean", "std"):
        if name in known and known[name] is None:
            raise Invalid(f"{where}.{name}", "is null; give its three numbers")


def check_preprocess(fields: Any, path: Path) -> None:
    """Check open_clip's `preprocess_cfg`, read from `path`.

    Raises:
        InputError: a setting is unknown, of another type or out of bounds; the sentence names it.
    """
    where = f"{path}: preprocess_cfg"
    _check(fields, PREPROCESS, where)
    for name, known in {
        "interpolation": ("bicubic", "bilinear"),
        "resize_mode": ("shortest", "squash", "longest"),
        "mode": ("RGB",),
        "fill_color": (0,),
    }.items():
        if fields.get(name, known[0]) not in known:
            raise Invalid(
                f"{where}.{name}", f"{fields[name]!r} is not known; it may be {' or '.join(map(str, known))}"
            )
    for name in ("mean", "std"):
        if len(fields.get(name, "rgb")) != len("rgb") or (name == "std" and 0 in fields.get(name, ())):
            raise Invalid(f"{where}.{name}", f"{fields[name]} are not statistics of three channels; correct them")


def _check(settings: Any, known: Mapping[str, Any], where: str) -> None:
    if not isinstance(settings, dict):
        raise Damaged(where, "is not a mapping; fetch the file again")
    for name, value in settings.items():
        if name not in known:
            raise Unsafe(
                f"{where}.{name}", "is not a setting that a tower may have; take it out if you trust the rest"
            )
        if value is None:
            continue
        if name in OPTIONS:
            _check(value, OPTIONS[name], f"{where}.{name}")
            continue
        try:  # as JSON, in which a list stands for a tuple
            TypeAdapter(known[name]).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            raise Invalid(f"{where}.{name}", f"{value!r:.50} is of another type; correct it") from error
        for number in _numbers(value):
            if not math.isfinite(number) or abs(number) > LIMITS.get(name, LARGEST):
                raise Invalid(f"{where}.{name}", f"{number} is out of bounds; correct it")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield value
