"""Telling the formats apart."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from diva.documents import read_json
from diva.errors import Damaged, Mismatch, Unsupported
from diva.progress import phase
from diva_downstream.llava.formats.content import HEAD, LANGUAGE, Llava
from diva_downstream.llava.formats.families import FAMILIES
from diva_downstream.llava.formats.loading import load_model, load_tokenizer
from diva_downstream.llava.formats.original import read_original
from diva_downstream.llava.formats.transformers_folder import read_transformers

BODY = "model."  # before the names of a causal language model's tensors, apart from the head's
# what some models do to their scores, and a LLaVA does not
SCALINGS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


@phase("reading the LLaVA")
def read_llava(folder: Path, language_model: Path | None = None) -> Llava:
    """Read a LLaVA, or a language model that is to become one.

    Args:
        folder: of a family of transformers' LLaVA, of the original LLaVA, or of a causal language model.
        language_model: the language model's folder, where an original folder has a projector or adapters alone.

    Raises:
        InputError: there is nothing there, nothing of these kinds, or files are missing or damaged.
    """
    fields = _fields(folder / "config.json")
    original = "mm_vision_tower" in fields
    if language_model is not None and not original:
        raise Mismatch("--language-model", folder, "has its own; leave the option out")
    if original:
        return read_original(folder, fields, _read_language_model, language_model)
    if fields.get("model_type") in list(FAMILIES):  # of a list: the value may be anything
        return read_transformers(folder, fields)
    return _read_language_model(folder)


def _read_language_model(folder: Path) -> Llava:
    kind = _fields(folder / "config.json").get("model_type")
    if kind not in list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):  # of a list: the value may be anything
        raise Unsupported(folder, f"holds a model of type '{kind}'; give a LLaVA-1.5 or a causal language model")
    model = load_model(AutoModelForCausalLM, folder)
    scaled = [name for name in SCALINGS if getattr(model.config, name, None) not in (None, 1)]
    others = [key for key in model.state_dict() if key != HEAD and not key.startswith(BODY)]
    if scaled or others:
        raise Unsupported(
            folder,
            f"its {(scaled or others)[0]} has no place in transformers' LLaVA; give a language model"
            " such as Llama, Qwen, Mistral, Gemma 3, Phi-4 or SmolLM",
        )
    state = {
        key if key == HEAD else LANGUAGE + key.removeprefix(BODY): value
        for key, value in model.state_dict().items()
    }
    return Llava(folder, model.config, load_tokenizer(folder), state)


def _fields(path: Path) -> dict[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise Damaged(path, "is not a configuration; fetch it again")
    return fields
