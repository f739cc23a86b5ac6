"""The original LLaVA-1.5: a Llama folder whose `config.json` also names the tower, with the projector among the
shards, in `mm_projector.bin` (its first stage), or beside adapters (its second with LoRA).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
)

from diva.errors import Damaged, Invalid, Mismatch, Missing, Unsupported
from diva.exporting.processors import write_image_processor
from diva.exporting.transformers_format import save_model
from diva.exporting.transformers_model import vision_model
from diva.progress import phase
from diva.towers import ZOO, TowerInput, load_clip
from diva.towers.checkpoint import read_state_dict, shards
from diva.towers.formats.transformers_folder import WEIGHT_FILES
from diva.towers.state_dict_diff import state_dict_diff
from diva_downstream.llava.formats.adapters import ADAPTER_FILE, merge_adapters
from diva_downstream.llava.formats.content import (
    EMBEDDING,
    HEAD,
    LANGUAGE,
    PROJECTOR,
    TOWER,
    TOWERS,
    Llava,
    is_siglip,
)
from diva_downstream.llava.formats.families import LLAVA
from diva_downstream.llava.formats.loading import load_tokenizer
from diva_downstream.llava.formats.original_keys import to_original, to_transformers
from diva_downstream.llava.formats.vocabulary import save_tokenizer_without_image, without_image_token

PROJECTOR_FILE, BESIDE_ADAPTER = "mm_projector.bin", "non_lora_trainables.bin"
TOWER_FOLDER = "vision_tower"
ROPE_BASE = 10_000.0  # of rotary positions: Llama's
PLAIN_TOWERS = ("clip_vision_model", "siglip_vision_model")
OLDER_NAMES = {"rope_theta", "rope_scaling", "torch_dtype"}  # of Llama's fields, as the original's files have them
# what each field may say, its default first; others mean another model, such as LLaVA-1.6 with AnyRes or S²
READABLE: dict[str, tuple[Any, ...]] = {
    "image_aspect_ratio": (None, "square", "pad"),
    "mm_vision_select_feature": ("patch", "cls_patch"),
    "mm_patch_merge_type": ("flat",),
    "mm_use_im_start_end": (False,),
    "s2": (False,),
}
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 768,
}
# the published checkpoints name their tower and leave it on the hub
PUBLISHED = {
    "openai/clip-vit-large-patch14-336": LARGE | {"image_size": 336},
    "openai/clip-vit-large-patch14": LARGE | {"image_size": 224},
}


def read_original(
    folder: Path,
    fields: dict[str, Any],
    read_language_model: Callable[[Path], Llava],
    language_model: Path | None = None,
) -> Llava:
    """Read a folder of the original LLaVA-1.5.

    Args:
        fields: its configuration.
        read_language_model: reads the language model that a projector or adapters alone belong to.
        language_model: where that one lies; `_name_or_path` of the configuration unless given.

    Raises:
        InputError: files are missing or damaged, or it is no LLaVA-1.5 on a Llama.
    """
    if fields.get("model_type") not in ("llava", "llava_llama"):
        raise Unsupported(folder, f"is a LLaVA on '{fields.get('model_type')}'; only those on Llama are read")
    if fields.get("mm_projector_type", "linear") != "mlp2x_gelu":
        raise Unsupported(
            folder, "mm_projector_type", f"{fields.get('mm_projector_type')!r}; LLaVA-1.5 has mlp2x_gelu"
        )
    said = {name: fields.get(name, values[0]) for name, values in READABLE.items()}
    # transformers' default, which LLaVA-1.5's scripts and files all have; the original's code has none to read with
    layer = fields.get("mm_vision_select_layer", LlavaConfig().vision_feature_layer)
    for name, value in said.items():
        if value not in READABLE[name]:
            raise Unsupported(folder, name, f"{value!r} cannot be carried over; only LLaVA-1.5 is read")
    if not isinstance(layer, int):
        raise Mismatch(folder, "mm_vision_select_layer", f"{layer!r} is not the number of a layer")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is not None:
        state, unknown = to_transformers(_tensors(shards(weights)))
        text = _llama(folder, fields)
        _check(folder, text, state, unknown)
        llava = Llava(folder, text, load_tokenizer(folder), state)
    else:
        llava = _on_language_model(folder, read_language_model(_language_model(folder, fields, language_model)))
    llava.feature_layer = layer
    llava.class_token = said["mm_vision_select_feature"] == "cls_patch"
    llava.pad_to_square = said["image_aspect_ratio"] == "pad"
    _read_tower(llava, folder, str(fields["mm_vision_tower"]))
    _check_projector(llava, llava.vision.hidden_size if llava.vision else fields.get("mm_hidden_size"))
    return llava


@phase("writing the LLaVA")
def write_original(llava: Llava, folder: Path, final: Path) -> None:
    """Write a complete `llava` into the existing `folder`, its tower beside it in `vision_tower/`.

    Args:
        final: where the folder will be found; the original code opens its tower by that path.

    Raises:
        InputError: its language model is no Llama.
    """
    assert llava.vision is not None, "a LLaVA is written with its tower"
    if llava.family is not LLAVA:
        raise Unsupported(
            llava.source, f"is a {llava.family.name}; only {LLAVA.name} is written for the original code"
        )
    if llava.text.model_type != "llama":
        raise Unsupported(
            llava.source, f"has a '{llava.text.model_type}' language model; the original wants a Llama"
        )
    if llava.vision.model_type not in PLAIN_TOWERS:
        raise Invalid(
            llava.source,
            f"has a tower of type '{llava.vision.model_type}', and the original code reads CLIP and"
            " SigLIP; keep transformers' format",
        )
    state = to_original(without_image_token(llava))
    save_torch_state_dict({key: value.contiguous() for key, value in state.items()}, folder)
    rows = len(state[HEAD])
    (folder / "config.json").write_text(json.dumps(_fields(llava, final, rows), indent=2) + "\n")
    save_tokenizer_without_image(llava, folder)
    write_vision_tower(llava, folder / TOWER_FOLDER)


def write_vision_tower(llava: Llava, folder: Path) -> None:
    """Write the tower of `llava` into `folder` as transformers' vision model, with its image processor."""
    assert llava.image is not None, "a tower knows what it wants to see"
    tower = TOWERS[llava.vision.model_type](llava.vision)
    own = {key.removeprefix(TOWER): value for key, value in llava.state.items() if key.startswith(TOWER)}
    tower.load_state_dict(own, assign=True)
    save_model(tower, folder)
    write_image_processor(llava.image, folder, siglip=is_siglip(llava.vision))


def _tensors(paths: list[Path]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for path in paths:
        state |= read_state_dict(path)
    return state


def _llama(folder: Path, fields: dict[str, Any]) -> LlamaConfig:
    known = (
        LlamaConfig().to_dict().keys() | OLDER_NAMES
    )  # and no auto_map, which would travel on to what is written
    llama = {key: value for key, value in fields.items() if key in known}
    try:
        return LlamaConfig.from_dict(llama | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    except Exception as error:  # transformers checks some fields, and fails in its own ways on others
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Damaged(folder / "config.json", f"is not a Llama's ({reason}); fetch it again") from error


def _check(folder: Path, text: LlamaConfig, state: dict[str, Tensor], unknown: list[str]) -> None:
    """Check that the state holds exactly the language model that the configuration describes, and a projector."""
    layers = len({key.split(".")[3] for key in state if key.startswith(f"{LANGUAGE}layers.")})
    if layers != text.num_hidden_layers:
        raise Damaged(
            folder,
            f"has weights for {layers} layers, and num_hidden_layers in its config.json is"
            f" {text.num_hidden_layers}; fetch it again",
        )
    with torch.device("meta"):
        wanted = to_transformers(LlamaForCausalLM(text).state_dict())[0]
    found = {key: value for key, value in state.items() if not key.startswith((PROJECTOR, TOWER))}
    misshapen = [key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape]
    problem = state_dict_diff(wanted.keys() - found.keys(), [*unknown, *(found.keys() - wanted.keys())], misshapen)
    if problem:
        raise Damaged(folder, f"is not the LLaVA-1.5 of its config.json: {problem}; fetch it again")


def _check_projector(llava: Llava, tower_width: int | None) -> None:
    """Check that the projector leads from a tower of this width, where it is known, to the language model."""
    width = llava.text.hidden_size
    wanted = {
        "linear_1.weight": (width, tower_width),
        "linear_1.bias": (width,),
        "linear_2.weight": (width, width),
        "linear_2.bias": (width,),
    }
    found = {
        key.removeprefix(PROJECTOR): tuple(value.shape)
        for key, value in llava.state.items()
        if key.startswith(PROJECTOR)
    }
    problem = state_dict_diff(wanted.keys() - found.keys(), found.keys() - wanted.keys())
    if problem:
        raise Damaged(llava.source, f"has no projector of LLaVA-1.5: {problem}; fetch it again")
    if any(0 in shape for shape in found.values()):
        raise Damaged(
            llava.source,
            "the projector's tensors are empty, as ZeRO-3 saves them unless they are gathered"
            " (stage3_gather_16bit_weights_on_model_save); save it again",
        )
    for name, shape in wanted.items():
        pairs = zip(found[name], shape, strict=False)
        if len(found[name]) != len(shape) or any(size not in (have, None) for have, size in pairs):
            raise Mismatch(
                llava.source,
                f"the projector's {name} is {found[name]}, but language model and tower want"
                f" {shape}; it belongs to others, or reads several scales (S²), which LLaVA-1.5 does not",
            )


def _language_model(folder: Path, fields: dict[str, Any], given: Path | None) -> Path:
    named = given or Path(str(fields.get("_name_or_path")))
    if not (named / "config.json").is_file():
        raise Missing(folder, "has no language model; name the one it belongs to with --language-model")
    return named


def _on_language_model(folder: Path, llava: Llava) -> Llava:
    """Put the projector of `folder`, and its adapters where it has them, onto a language model."""
    if (folder / ADAPTER_FILE).is_file():
        state = to_transformers(merge_adapters(to_original(llava.state), folder))[0]
        file = folder / BESIDE_ADAPTER
    else:
        state, file = llava.state, folder / PROJECTOR_FILE
    if not file.is_file():
        raise Damaged(folder, f"has neither weights nor {file.name}; fetch it again")
    projector, unknown = to_transformers(read_state_dict(file))
    others = [key for key in projector if not key.startswith((PROJECTOR, TOWER))]
    if unknown or others:
        raise Unsupported(
            file, f"{state_dict_diff((), [*unknown, *others])} beside the projector; only LLaVA-1.5 is read"
        )
    return Llava(folder, llava.text, llava.tokenizer, state | projector)


def _read_tower(llava: Llava, folder: Path, name: str) -> None:
    """Fill in what can be known of the tower: from a folder, or from the published names."""
    local = next((path for path in (Path(name), folder / Path(name).name) if path.is_dir()), None)
    if local is not None:
        clip = load_clip(f"local-dir:{local}")
        tower = vision_model(clip)
        llava.vision, llava.image = tower.config, clip.input
        if not llava.has_tower:
            llava.replace_part(TOWER, tower.state_dict())
    elif name in PUBLISHED:
        llava.vision = CLIPVisionConfig(**PUBLISHED[name])
        side = llava.vision.image_size
        llava.image = TowerInput(size=(side, side), **ZOO["openai-vit-l14-224"].preprocess)


def _fields(llava: Llava, final: Path, rows: int) -> dict[str, Any]:
    vision, text = llava.vision, llava.text.to_dict()
    assert vision is not None, "checked by the caller"
    rope = text.pop("rope_parameters", None) or {}
    return text | {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "vocab_size": rows,
        "rope_theta": rope.get("rope_theta", ROPE_BASE),
        "torch_dtype": str(llava.state[EMBEDDING].dtype).removeprefix("torch."),
        "bos_token_id": llava.tokenizer.bos_token_id,
        "eos_token_id": llava.tokenizer.eos_token_id,
        "image_aspect_ratio": "pad" if llava.pad_to_square else "square",
        "mm_hidden_size": vision.hidden_size,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "cls_patch" if llava.class_token else "patch",
        "mm_vision_select_layer": llava.feature_layer,
        "mm_vision_tower": str(final / TOWER_FOLDER),
        "use_mm_proj": True,
    }
