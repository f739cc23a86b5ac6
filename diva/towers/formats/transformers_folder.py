"""A folder of transformers': a CLIP, a SigLIP or a MetaCLIP 2, its vision model alone, a DINOv2 or a DINOv3.

GenHancer and DCR release their towers so. The tensors are read from the files themselves, not through
`from_pretrained`, which fills in what is missing.
"""

import math
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPVisionConfig,
    MetaClip2Config,
    MetaClip2TextConfig,
    MetaClip2VisionConfig,
    Siglip2Config,
    Siglip2VisionConfig,
    SiglipConfig,
    SiglipVisionConfig,
)

from diva.documents import read_json
from diva.errors import Damaged, Mismatch, Missing, Unsupported
from diva.towers.checkpoint import read_state_dict, shards
from diva.towers.formats import transformers_trunks
from diva.towers.formats.image_processor import (
    IMAGENET,
    SIGLIP,
    other_size,
    read_image_processor,
    read_statistics,
)
from diva.towers.formats.settings import check_model
from diva.towers.formats.source import TowerSource, tokenizer_folder
from diva.towers.formats.timm_folder import trunk_source
from diva.towers.formats.transformers_keys import (
    PATCHES,
    clip_keys,
    patches_as_pixels,
    siglip_keys,
    with_prefix,
)
from diva.towers.recognise import architecture_name, recognise

CONFIGS: dict[Any, Any] = {
    "clip": CLIPConfig,
    "clip_vision_model": CLIPVisionConfig,
    "siglip": SiglipConfig,
    "siglip_vision_model": SiglipVisionConfig,
    "siglip2": Siglip2Config,
    "siglip2_vision_model": Siglip2VisionConfig,
    "metaclip_2": MetaClip2Config,
    "metaclip_2_vision_model": MetaClip2VisionConfig,
    **transformers_trunks.CONFIGS,
}
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
XLM = {"hf_tokenizer_name": "facebook/xlm-v-base", "pool_type": "eos"}  # as open_clip describes MetaCLIP 2
OF_SIGLIP_2 = ["gelu", "gelu_pytorch_tanh"]  # as open_clip computes its image and its text tower
ACTIVATIONS = {"quick_gelu": "quickgelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
CLIP_VOCABULARY = 49408  # of OpenAI, and of all who took its tokenizer
TORCH_EPS = 1e-5  # of layer norms, and what open_clip builds where nothing is said


def read_transformers_folder(folder: Path) -> TowerSource:
    """Read a folder of transformers'.

    Raises:
        InputError: it holds another kind of model, or its files are missing or damaged.
    """
    path = folder / "config.json"
    fields = read_json(path)
    kind = str(fields.get("model_type")) if isinstance(fields, dict) else "nothing"
    if kind not in CONFIGS:
        raise Unsupported(folder, f"holds a transformers model of type '{kind}'; give one of {', '.join(CONFIGS)}")
    try:
        config = CONFIGS[kind].from_dict(fields)
    except Exception as error:  # transformers checks each field in a way of its own
        reason = " ".join(str(error).split())
        raise Damaged(path, f"cannot be used ({reason}); fetch it again") from error
    vision, text = getattr(config, "vision_config", config), getattr(config, "text_config", None)
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise Missing(folder, f"has no weights ({WEIGHT_FILES[0]}); fetch them into the folder")
    if kind in transformers_trunks.CONFIGS:
        return _read_trunk(folder, kind, config, weights)
    theirs = with_prefix(_read_shards(weights))
    siglip, preprocess = kind.startswith("siglip"), None
    doubts: tuple[str, ...] = ()
    if kind.startswith("siglip2"):  # NaFlex, whose patches are cut before it and which may have any number of them
        side = math.isqrt(vision.num_patches)
        vision.image_size = side * vision.patch_size
        theirs[PATCHES] = patches_as_pixels(theirs[PATCHES], vision.patch_size, what=str(weights))
        preprocess = read_statistics(folder, SIGLIP) | {"resize_mode": "squash"}
        doubts = (f"every picture becomes {side} × {side} patches, where NaFlex keeps its shape",)
    state = (siglip_keys if siglip else clip_keys)(theirs).to_ours(theirs, str(weights))
    if not any(key.endswith("token_embedding.weight") for key in state):
        text = None
    if text and kind == "clip" and text.vocab_size != CLIP_VOCABULARY:
        raise Unsupported(folder, f"has a vocabulary of {text.vocab_size}, and a CLIP text tower {CLIP_VOCABULARY}")
    of_each = [vision.hidden_act, *([text.hidden_act] if text else [])]
    if siglip and of_each == OF_SIGLIP_2 and _has_tanh(model := _siglip_config(folder, vision, state)):
        activation = "gelu"  # the text tower's tanh is in open_clip's configuration
    else:
        activation = _activation(folder, of_each)
        model = (
            _siglip_config(folder, vision, state) if siglip else _clip_config(path, vision, text, state, activation)
        )
    return TowerSource(
        format=f"transformers {_class_name(state, siglip=siglip)} folder",
        path=folder,
        weights=weights,
        state=state,
        architecture=architecture_name(model, state),
        config=model,
        preprocess=preprocess or read_image_processor(folder, siglip=siglip, side=vision.image_size),
        activation=activation,
        tokenizer=tokenizer_folder(folder),
        doubts=doubts,
    )


def _read_trunk(folder: Path, kind: str, config: Any, weights: Path) -> TowerSource:
    if field := transformers_trunks.unlike(config):
        raise Mismatch(
            folder / "config.json",
            field,
            f"{getattr(config, field)!r:.50} makes another model than timm's; give timm's own files of it",
        )
    state = transformers_trunks.to_timm(_read_shards(weights), config, str(weights))
    preprocess = read_statistics(folder, IMAGENET) | {"size": [config.image_size] * 2}
    side, other = config.image_size, other_size(folder, config.image_size)
    doubts = (f"reads {side} × {side} pixels as config.json says, and its image processor gives {other}",)
    return trunk_source(
        f"transformers {kind} folder",
        folder,
        weights,
        state,
        transformers_trunks.trunk_of(config),
        preprocess,
        doubts if other else (),
    )


def _read_shards(weights: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for shard in shards(weights):
        state |= read_state_dict(shard)
    return state


def _class_name(state: dict[str, Tensor], *, siglip: bool) -> str:
    if any(key.endswith("token_embedding.weight") for key in state):
        return "SiglipModel" if siglip else "CLIPModel"
    if siglip:
        return "SiglipVisionModel"
    return "CLIPVisionModelWithProjection" if "visual.proj" in state else "CLIPVisionModel"


def _has_tanh(config: dict[str, Any]) -> bool:
    return bool(config["text_cfg"].get("act_kwargs", {}).get("approximate") == "tanh")


def _activation(folder: Path, of_each: list[str]) -> str:
    name, *others = dict.fromkeys(of_each)
    if others or name not in ACTIVATIONS:
        described = " and ".join(sorted({name, *others}))
        raise Unsupported(folder / "config.json", "hidden_act", f"{described}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _clip_config(path: Path, vision: Any, text: Any, state: dict[str, Tensor], activation: str) -> dict[str, Any]:
    proj = state.get("visual.proj")
    for part in (vision, text) if text else (vision,):
        for name in ("hidden_size", "num_attention_heads"):
            if getattr(part, name) < 1:
                raise Damaged(path, name, f"{getattr(part, name)} is too few; fetch it again")
    config = {
        "embed_dim": vision.hidden_size if proj is None else proj.shape[1],
        "quick_gelu": activation == "quickgelu",
        "vision_cfg": {
            **_part(vision),
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
        },
        "text_cfg": {
            **_part(text),
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "heads": text.num_attention_heads,
            **(XLM | {"eos_id": text.eos_token_id} if isinstance(text, MetaClip2TextConfig) else {}),
        }
        if text
        else {},
    }
    check_model(config, path)
    return config


def _part(part: Any) -> dict[str, Any]:
    # open_clip rounds width × ratio down
    ratio = part.intermediate_size / part.hidden_size
    exact = int(part.hidden_size * ratio) == part.intermediate_size
    fields = {
        "width": part.hidden_size,
        "layers": part.num_hidden_layers,
        "mlp_ratio": ratio if exact else (part.intermediate_size + 0.5) / part.hidden_size,
    }
    return fields if part.layer_norm_eps == TORCH_EPS else {**fields, "norm_kwargs": {"eps": part.layer_norm_eps}}


def _siglip_config(folder: Path, vision: Any, state: dict[str, Tensor]) -> dict[str, Any]:
    """Return open_clip's configuration of the same shape; timm builds no trunk that it has no name for."""
    configs = [open_clip.get_model_config(name) for name in recognise(state)]
    config = next((config for config in configs if config["vision_cfg"]["image_size"] == vision.image_size), None)
    if config is None:
        raise Unsupported(folder, "is a SigLIP of a shape that open_clip has no name for; use a published one")
    return dict(config)
