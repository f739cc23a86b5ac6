"""Averaging a trained tower with the one it started from (WiSE-FT, arXiv 2109.01903)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from diva.errors import Invalid


def average(base: Mapping[str, Tensor], trained: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 − alpha) · base + alpha · trained, tensor by tensor; 0 gives the base and 1 the trained.

    Args:
        base, trained: state dicts of one architecture, in float32.
        alpha: the trained tower's share.
    """
    return {key: torch.lerp(base[key], value, alpha) for key, value in trained.items()}


def read_shares(text: str) -> list[float]:
    """Read the shares of `--average`: one number, or several with commas between them; `export` checks their range.

    Raises:
        InputError: one of them is no number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise Invalid("--average", f"'{text}' is no share; give numbers such as 0.5 or 0.25,0.5,0.75") from error
