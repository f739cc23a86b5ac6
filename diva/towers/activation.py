"""The activation of a tower, which leaves no trace in its weights; with another one every feature is wrong."""

from collections.abc import Mapping
from typing import Any

from open_clip.model import QuickGELU
from timm.layers.activations import GELUTanh
from torch import nn


def activation_in(config: Mapping[str, Any]) -> str:
    """Return "quickgelu" or "gelu", as open_clip's `config` says."""
    return "quickgelu" if config.get("quick_gelu") else "gelu"


def activation_of(model: nn.Module) -> str:
    """Return "quickgelu", "gelu" or "gelu_tanh", as `model` computes it; where parts differ, several with "and"."""
    return " and ".join(sorted({name for module in model.modules() if (name := _activation_name(module))}))


def _activation_name(module: nn.Module) -> str | None:
    if isinstance(module, QuickGELU):
        return "quickgelu"
    if isinstance(module, GELUTanh) or (isinstance(module, nn.GELU) and module.approximate == "tanh"):
        return "gelu_tanh"
    return "gelu" if isinstance(module, nn.GELU) else None
