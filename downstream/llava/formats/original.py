"""The original LLaVA-1.5: a Llama folder whose `config.json` also names the tower, with the projector among the
shards, in `mm_projector.bin` (its first stage), or beside adapters (its second with LoRA).
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from peft import PeftModel
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, SiglipVisionModel

from diva.errors import InputError
from diva.export.processors import write_image_processor
from diva.export.transformers_format import save_model
from diva.export.transformers_model import vision_model
from diva.towers import TowerInput, load_clip
from diva.towers.checkpoint import read_state_dict, shards
from diva.towers.formats.transformers_folder import WEIGHT_FILES
from diva.towers.misfit import misfit
from downstream.llava.formats.content import EMBEDDING, HEAD, LANGUAGE, PROJECTOR, TOWER, Llava, is_siglip
from downstream.llava.formats.loading import load_tokenizer
from downstream.llava.formats.original_keys import to_original, to_transformers
from downstream.llava.formats.transformers_folder import SENTENCEPIECE
from downstream.llava.formats.vocabulary import save_tokenizer_without_image, without_image_token

PROJECTOR_FILE, ADAPTER_FILE, BESIDE_ADAPTER = "mm_projector.bin", "adapter_config.json", "non_lora_trainables.bin"
TOWER_FOLDER = "vision_tower"
# what the original adds to Llama's configuration
OWN = ("mm_", "tune_mm", "freeze_mm", "unfreeze_mm", "use_mm", "image_", "tokenizer_")
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
OPENAI: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
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
        raise InputError(f"{folder}: is a LLaVA on '{fields.get('model_type')}'; only those on Llama are read")
    if fields.get("mm_projector_type") != "mlp2x_gelu":
        raise InputError(
            f"{folder}: mm_projector_type: '{fields.get('mm_projector_type')}'; LLaVA-1.5 has mlp2x_gelu"
        )
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is not None:
        state, unknown = to_transformers(_tensors(shards(weights)))
        _check(folder, state, unknown)
        llava = Llava(folder, _llama(fields), load_tokenizer(folder), state)
    else:
        llava = _on_language_model(folder, read_language_model(_language_model(folder, fields, language_model)))
    llava.feature_layer = fields["mm_vision_select_layer"]
    llava.class_token = fields.get("mm_vision_select_feature", "patch") == "cls_patch"
    llava.pad_to_square = fields.get("image_aspect_ratio") == "pad"
    _read_tower(llava, folder, str(fields["mm_vision_tower"]))
    return llava


def write_original(llava: Llava, folder: Path, final: Path) -> None:
    """Write a complete `llava` into the existing `folder`, its tower beside it in `vision_tower/`.

    Args:
        final: where the folder will be found; the original code opens its tower by that path.

    Raises:
        InputError: its language model is no Llama.
    """
    assert llava.vision is not None, "a LLaVA is written with its tower"
    assert llava.image is not None, "a tower knows what it wants to see"
    if llava.text.model_type != "llama":
        raise InputError(
            f"{llava.source}: has a '{llava.text.model_type}' language model; the original wants a Llama"
        )
    state = to_original(without_image_token(llava))
    save_torch_state_dict({key: value.contiguous() for key, value in state.items()}, folder)
    rows = len(state[HEAD])
    (folder / "config.json").write_text(json.dumps(_fields(llava, final, rows), indent=2) + "\n")
    save_tokenizer_without_image(llava, folder)
    if (llava.source / SENTENCEPIECE).is_file():
        shutil.copy(llava.source / SENTENCEPIECE, folder)
    tower = (SiglipVisionModel if is_siglip(llava.vision) else CLIPVisionModel)(llava.vision)
    own = {key.removeprefix(TOWER): value for key, value in llava.state.items() if key.startswith(TOWER)}
    tower.load_state_dict(own, assign=True)
    save_model(tower, folder / TOWER_FOLDER)
    write_image_processor(llava.image, folder / TOWER_FOLDER, siglip=is_siglip(llava.vision))


def _tensors(paths: list[Path]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for path in paths:
        state |= read_state_dict(path)
    return state


def _llama(fields: dict[str, Any]) -> LlamaConfig:
    llama = {key: value for key, value in fields.items() if not key.startswith(OWN)}
    return LlamaConfig.from_dict(llama | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})


def _check(folder: Path, state: dict[str, Tensor], unknown: list[str]) -> None:
    layers = 1 + max((int(key.split(".")[3]) for key in state if key.startswith(f"{LANGUAGE}layers.")), default=-1)
    wanted = {EMBEDDING, HEAD, f"{LANGUAGE}norm.weight", *(f"{PROJECTOR}linear_{n}.weight" for n in (1, 2))}
    problem = misfit(wanted - state.keys(), unknown) if layers else "no layers of a Llama"
    if problem:
        raise InputError(f"{folder}: is no LLaVA-1.5: {problem}; fetch it again")


def _language_model(folder: Path, fields: dict[str, Any], given: Path | None) -> Path:
    named = given or Path(str(fields.get("_name_or_path")))
    if not (named / "config.json").is_file():
        raise InputError(f"{folder}: has no language model; name the one it belongs to with --language-model")
    return named


def _on_language_model(folder: Path, llava: Llava) -> Llava:
    """Put the projector of `folder`, and its adapters where it has them, onto a language model."""
    if (folder / ADAPTER_FILE).is_file():
        state = _merged(llava, folder)
        file = folder / BESIDE_ADAPTER
    else:
        state, file = llava.state, folder / PROJECTOR_FILE
    if not file.is_file():
        raise InputError(f"{folder}: has neither weights nor {file.name}; fetch it again")
    projector, unknown = to_transformers(read_state_dict(file))
    if unknown or f"{PROJECTOR}linear_2.weight" not in projector:
        raise InputError(f"{file}: holds no projector of LLaVA-1.5; fetch it again")
    return Llava(folder, llava.text, llava.tokenizer, state | projector)


def _merged(llava: Llava, folder: Path) -> dict[str, Tensor]:
    with torch.device("meta"):
        model = LlamaForCausalLM(llava.text)
    model.load_state_dict(to_original(llava.state), assign=True)
    try:
        adapted = PeftModel.from_pretrained(model, folder)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: its adapters do not fit the language model ({reason})") from error
    return to_transformers(adapted.merge_and_unload().state_dict())[0]


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
        llava.image = TowerInput(size=(side, side), **OPENAI)


def _fields(llava: Llava, final: Path, rows: int) -> dict[str, Any]:
    vision, text = llava.vision, llava.text.to_dict()
    assert vision is not None, "checked by the caller"
    rope = text.pop("rope_parameters", None) or {}
    return text | {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "vocab_size": rows,
        "rope_theta": rope.get("rope_theta", 10000.0),
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
