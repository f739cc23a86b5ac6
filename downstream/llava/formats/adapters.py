"""The original LLaVA's low-rank adapters, put into the language model that they were trained on."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from diva.documents import read_json
from diva.errors import Damaged, Unsupported
from diva.towers.checkpoint import read_state_dict
from diva.towers.state_dict_diff import state_dict_diff

ADAPTER_FILE = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# fields that change what the adapters compute; LLaVA's leave them as they are here
PLAIN: dict[str, Any] = {"peft_type": "LORA", "bias": "none"} | dict.fromkeys(
    (
        *("use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save"),
        *("layers_to_transform", "layer_replication", "target_parameters", "trainable_token_indices", "lora_bias"),
        *("use_qalora", "use_bdlora", "alora_invocation_tokens", "arrow_config", "kasa_config"),
        "monteclora_config",
    )
)
# beginnings of adapters that leave the language model's own weights as they are; PiSSA's and others' change them
INITIAL = (True, False, "gaussian", "orthogonal", "eva", "mica")


def merge_adapters(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Return a language model's tensors with the adapters in `folder` added: W + alpha / rank · B A.

    Args:
        state: by the names of the language model that the adapters were trained on.

    Raises:
        InputError: the adapters are of another kind, or there is not exactly one for each layer that they name.
    """
    path = folder / ADAPTER_FILE
    rank, alpha, targets = _read_config(path)
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), folder / WEIGHTS[0])
    found: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, value in read_state_dict(weights).items():
        match = NAME.fullmatch(key)
        if match:
            found.setdefault(f"{match[1]}.weight", {})[match[2]] = value
        else:
            unknown.append(key)
    wanted = {key for key, value in state.items() if value.ndim == 2 and key.split(".")[-2] in targets}
    misshapen = [key for key in wanted & found.keys() if not _fit(found[key], state[key], rank)]
    problem = state_dict_diff(wanted - found.keys(), [*unknown, *(found.keys() - wanted)], misshapen)
    if problem or not wanted:
        raise Damaged(
            weights,
            f"its adapters do not fit the language model: {problem or f'no layers {targets}'}; fetch it"
            " again, or name the model that they belong to with --language-model",
        )
    merged = {
        key: state[key].float() + alpha / rank * found[key]["B"].float() @ found[key]["A"].float() for key in wanted
    }
    return state | {key: value.to(state[key].dtype) for key, value in merged.items()}


def _read_config(path: Path) -> tuple[int, float, list[str]]:
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise Damaged(path, "is not the configuration of adapters; fetch it again")
    for name, plain in PLAIN.items():
        value = fields.get(name, plain)
        if value != plain and (plain or value):
            raise Unsupported(path, name, f"{value!r} cannot be merged; only LLaVA's own kind of adapters is read")
    if (initial := fields.get("init_lora_weights", True)) not in INITIAL:
        raise Unsupported(
            path,
            "init_lora_weights",
            f"{initial!r} changes the language model's own weights, too;"
            " merge the adapters with peft and give the result",
        )
    rank, alpha, targets = (fields.get(name) for name in ("r", "lora_alpha", "target_modules"))
    if not (isinstance(rank, int) and rank > 0):
        raise Damaged(path, "r", f"{rank!r} is not a rank; fetch it again")
    if not isinstance(alpha, int | float):
        raise Damaged(path, "lora_alpha", f"{alpha!r} is not a number; fetch it again")
    if not (isinstance(targets, list) and all(isinstance(each, str) for each in targets)):
        raise Damaged(path, "target_modules", f"{targets!r} is not a list of names; fetch it again")
    return rank, alpha, targets


def _fit(adapter: dict[str, Tensor], weight: Tensor, rank: int) -> bool:
    shapes = {name: tuple(value.shape) for name, value in adapter.items()}
    return shapes == {"A": (rank, weight.shape[1]), "B": (weight.shape[0], rank)}
