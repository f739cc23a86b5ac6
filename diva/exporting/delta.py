"""The part of a tower that training changed, and how it goes back onto the base.

The difference is taken in float32. Stored as float32 it gives back the trained weights bit by bit: where base +
difference would round to a neighbour, the trained number itself is stored beside it. Stored as bfloat16 it is
half the size and rounded to 8 significant bits, so base + difference lies within 2⁻⁸ of the difference from the
trained weights; those sums are then the tower that the file stands for. Either way the file carries the hashes of
the base it was taken from and of the tower it gives, and both are checked.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diva.errors import InputError
from diva.towers.checkpoint import Container, container_of

FORMAT = "diva-delta-1"
DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}
DIFFERENCE, INDEX, VALUE = "difference/", "index/", "value/"


@dataclass(frozen=True)
class Delta:
    """A difference between two state dicts of one architecture.

    Attributes:
        tensors: by `difference/KEY` the difference of a tensor that changed; by `index/KEY` and `value/KEY` the
            flat positions and the numbers where the sum would not be exact.
        fields: text that travels with it; the hashes and the format are among it.
    """

    tensors: dict[str, Tensor]
    fields: dict[str, str]

    @classmethod
    def between(
        cls, base: Mapping[str, Tensor], trained: Mapping[str, Tensor], dtype: str, fields: Mapping[str, str]
    ) -> Self:
        """Return the difference from `base` to `trained`, both float32, stored as `dtype`: "bf16" or "float32"."""
        tensors = {}
        for key, value in trained.items():
            if torch.equal(_bits(base[key]), _bits(value)):
                continue
            difference = (value - base[key]).to(DTYPES[dtype])
            tensors[DIFFERENCE + key] = difference
            wrong = (_bits(base[key] + difference.float()) != _bits(value)).flatten().nonzero().flatten()
            if dtype == "float32" and len(wrong):
                tensors[INDEX + key], tensors[VALUE + key] = wrong, value.flatten()[wrong]
        hashes = {"base_sha256": state_sha256(base), "result_sha256": state_sha256(_sum(base, tensors))}
        return cls(tensors, {**fields, **hashes, "format": FORMAT, "dtype": dtype})

    def apply(self, base: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
        """Return `base` with the difference applied: exactly the tower that the delta was made to stand for.

        Raises:
            InputError: `base` is not the tower that it was taken from; the sentence starts with `what`.
        """
        if state_sha256(base) != self.fields.get("base_sha256"):
            raise InputError(f"{what}: is not the base that this delta was taken from; its card names that one")
        for name, difference in self.tensors.items():
            key = name.removeprefix(DIFFERENCE)
            if name.startswith(DIFFERENCE) and (key not in base or base[key].shape != difference.shape):
                raise InputError(f"{what}: has no tensor for the delta's {key}; fetch the delta again")
        try:
            result = _sum(base, self.tensors)
        except (KeyError, IndexError, RuntimeError) as error:  # positions or numbers that do not fit
            raise InputError(f"{what}: the delta is damaged ({error}); fetch it again") from error
        if state_sha256(result) != self.fields.get("result_sha256"):
            raise InputError(f"{what}: the delta does not give the tower that it should; fetch the delta again")
        return result

    def save(self, path: Path) -> None:
        """Write the delta as a safetensors file."""
        save_file(self.tensors, path, metadata=self.fields)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a delta.

        Raises:
            InputError: the file is no delta, or another version's.
        """
        if not is_delta(path):
            raise InputError(f"{path}: is no delta of this version ({FORMAT}); export it again")
        with safe_open(path, "pt") as file:
            return cls({key: file.get_tensor(key) for key in file.keys()}, file.metadata())  # noqa: SIM118


def is_delta(path: Path) -> bool:
    """Tell whether a file is a delta, from its content.

    Raises:
        InputError: there is no such file, or it is no file of weights.
    """
    if container_of(path) is not Container.SAFETENSORS:
        return False
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False  # damaged, which is told by whoever reads it


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over the names and bytes of the tensors: the same in whichever file they lie."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(f"{key}\0{state[key].dtype}\0".encode())
        digest.update(state[key].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _bits(weights: Tensor) -> Tensor:
    return weights.view(torch.int32)  # the two zeros are equal numbers of different bits


def _sum(base: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result = dict(base)
    for name, difference in tensors.items():
        if name.startswith(DIFFERENCE):
            key = name.removeprefix(DIFFERENCE)
            result[key] = base[key] + difference.float()
            if INDEX + key in tensors:
                result[key].view(-1)[tensors[INDEX + key]] = tensors[VALUE + key]
    return result
