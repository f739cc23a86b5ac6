"""Telling the formats apart."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from diva.errors import InputError
from downstream.llava.formats.content import HEAD, LANGUAGE, Llava
from downstream.llava.formats.loading import load_model, load_tokenizer
from downstream.llava.formats.original import read_original
from downstream.llava.formats.transformers_folder import read_transformers

LANGUAGE_MODELS = ("llama", "qwen2")


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
        return read_transformers(folder)
    if fields.get("model_type") in LANGUAGE_MODELS:
        return _read_language_model(folder)
    raise InputError(
        f"{folder}: holds a model of type '{fields.get('model_type')}'; give a LLaVA-1.5 or a language model"
        f" ({', '.join(LANGUAGE_MODELS)})"
    )


def _read_language_model(folder: Path) -> Llava:
    model = load_model(AutoModelForCausalLM, folder)
    state = {
        key if key == HEAD else LANGUAGE + key.removeprefix("model."): value
        for key, value in model.state_dict().items()
    }
    return Llava(folder, model.config, load_tokenizer(folder), state)


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the folder of a model") from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error}); fetch it again") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}: is no configuration; fetch it again")
    return fields
