"""Reading a checkpoint file safely, and saying exactly why it does not fit a model."""

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from diva.errors import InputError
from diva.towers.recognise import recognise

SHOWN = 3  # keys named of each kind of misfit; the counts are always given


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors`, `.pt`, `.pth` or `.bin` checkpoint on the CPU.

    A training checkpoint's `state_dict` entry and the `module.` prefix of data-parallel runs are unwrapped.
    Nothing but tensors is ever unpickled.

    Raises:
        InputError: the file is missing, damaged, or holds something other than tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file; docs/data.md says where each one comes from")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not a readable checkpoint of tensors ({reason}); fetch it again"
        ) from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: holds no state dict of tensors; give a model's checkpoint")
    return {key.removeprefix("module."): value for key, value in content.items()}


def load_strictly(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load `state` into `model`; every key must be there, with the right shape.

    open_clip's own loader resizes position embeddings that do not fit; a tower at another input size is
    another tower, so here that is an error.

    Raises:
        InputError: keys are missing, unexpected or of the wrong shape; the sentence names them and the
            architecture that the checkpoint looks like.
    """
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    misshapen = sorted(
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    )
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{', …' if len(keys) > SHOWN else ''})"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of the wrong shape", misshapen),
        )
        if keys
    ]
    if problems:
        looks_like = recognise(state)
        hint = (
            f"; it looks like {looks_like}" if looks_like else "; its architecture is not one of open_clip's"
        )
        raise InputError(f"{path}: does not fit the model: keys {', '.join(problems)}{hint}")
    model.load_state_dict(state)
