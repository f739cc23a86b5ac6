"""Which tensor of the original LLaVA is which of transformers'."""

import re
from collections.abc import Mapping

from torch import Tensor

from diva_downstream.llava.formats.content import HEAD, LANGUAGE, PROJECTOR, TOWER

# the projector is a Sequential there: linear, GELU, linear
LINEAR = {"0": "linear_1", "2": "linear_2"}
RULES = (
    (re.compile(r"model\.mm_projector\.([02])\."), lambda found: f"{PROJECTOR}{LINEAR[found[1]]}."),
    (re.compile(r"model\.vision_tower\.vision_tower\.(?:vision_model\.)?"), lambda _: TOWER),
    (re.compile(r"model\.(?=embed_tokens\.|layers\.|norm\.)"), lambda _: LANGUAGE),
    (re.compile(r"(?=lm_head\.)"), lambda _: ""),
)
# counts that older versions of transformers stored beside the weights
COUNTED = re.compile(r"\.(rotary_emb\.inv_freq|position_ids)$")
ADAPTED = "base_model.model."  # before every name in `non_lora_trainables.bin`


def to_transformers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors under transformers' names, and the names that the original LLaVA does not know."""
    mapped: dict[str, Tensor] = {}
    unknown = []
    for key, value in state.items():
        name = key.removeprefix(ADAPTED)
        if COUNTED.search(name):
            continue
        rule = next((rule for rule in RULES if rule[0].match(name)), None)
        if rule is None:
            unknown.append(key)
        else:
            mapped[rule[0].sub(rule[1], name, count=1)] = value
    return mapped, unknown


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the language model and the projector under the original's names; the tower has a folder of its own."""
    places = {linear: place for place, linear in LINEAR.items()}
    mapped: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(LANGUAGE):
            mapped[f"model.{key.removeprefix(LANGUAGE)}"] = value
        elif key.startswith(PROJECTOR):
            linear, part = key.removeprefix(PROJECTOR).split(".")
            mapped[f"model.mm_projector.{places[linear]}.{part}"] = value
        elif key == HEAD:
            mapped[key] = value
    return mapped
