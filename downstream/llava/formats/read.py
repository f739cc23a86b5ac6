"""Telling the formats apart."""

from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM, Qwen2ForCausalLM

from diva.documents import read_json
from diva.errors import InputError
from diva_downstream.llava.formats.content import HEAD, LANGUAGE, Llava
from diva_downstream.llava.formats.loading import load_model, load_tokenizer
from diva_downstream.llava.formats.original import read_original
from diva_downstream.llava.formats.transformers_folder import read_transformers

LANGUAGE_MODELS = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM}


def read_llava(folder: Path, language_model: Path | None = None) -> Llava:
    """Read a LLaVA, or a language model that is to become one.

    Args:
        folder: of transformers' LLaVA, of the original one, or of a Llama or Qwen2 language model.
        language_model: the language model's folder, where an original folder has a projector or adapters alone.

    Raises:
        InputError: there is nothing there, nothing of these kinds, or files are missing or damaged.
    """
    fields = _fields(folder / "config.json")
    original = "mm_vision_tower" in fields
    if language_model is not None and not original:
        raise InputError(f"--language-model: {folder} has its own; leave the option out")
    if original:
        return read_original(folder, fields, _read_language_model, language_model)
    if fields.get("model_type") == "llava":
        return read_transformers(folder, fields)
    return _read_language_model(folder)


def _read_language_model(folder: Path) -> Llava:
    kind = _fields(folder / "config.json").get("model_type")
    if kind not in list(LANGUAGE_MODELS):  # of a list: the value may be anything
        raise InputError(
            f"{folder}: holds a model of type '{kind}'; give a LLaVA-1.5 or a language model"
            f" ({', '.join(LANGUAGE_MODELS)})"
        )
    model = load_model(LANGUAGE_MODELS[kind], folder)
    state = {
        key if key == HEAD else LANGUAGE + key.removeprefix("model."): value
        for key, value in model.state_dict().items()
    }
    return Llava(folder, model.config, load_tokenizer(folder), state)


def _fields(path: Path) -> dict[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: is not a configuration; fetch it again")
    return fields
