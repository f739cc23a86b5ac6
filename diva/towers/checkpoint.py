"""Reading a file of tensors safely: what it is is told from its bytes, and no object is ever unpickled."""

import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from diva.documents import read_json
from diva.errors import Damaged, Invalid, Missing, Unsafe
from diva.progress import phase

LEGACY_HEAD = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)  # of torch.save before torch 1.6


class Container(Enum):
    """What a file of weights is made of."""

    SAFETENSORS = "safetensors"
    TORCH = "torch zip"
    LEGACY = "torch pickle"
    TORCHSCRIPT = "TorchScript archive"


@phase("hashing the weights")
def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(weights: Path) -> str:
    """Return the SHA-256 of a weights file; for an index of several shards, that of their hashes in a row."""
    hashes = [file_sha256(shard) for shard in shards(weights)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def shards(weights: Path) -> list[Path]:
    """Return the files that `weights` stands for: itself, or those that a `….index.json` names.

    Raises:
        InputError: the index is damaged, or names a file outside its folder.
    """
    if not weights.name.endswith(".index.json"):
        return [weights]
    index = read_json(weights)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise Damaged(weights, "is not an index of shards; fetch it again")
    for name in sorted(set(names.values())):
        if Path(name).name != name:
            raise Damaged(weights, f"names '{name}', which is not a file beside it; fetch it again")
    return [weights.parent / name for name in sorted(set(names.values()))]


def container_of(path: Path) -> Container:
    """Tell what `path` is made of from its first bytes; its name plays no part.

    Raises:
        InputError: there is no such file, or it is no file of weights.
    """
    if not path.is_file():
        raise Missing(path, "no such checkpoint file; docs/data.md says where each one comes from")
    with path.open("rb") as file:
        head = file.read(128)
    if not head:
        raise Damaged(path, "is empty; fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise Damaged(path, "is a Git LFS pointer instead of the weights; run 'git lfs pull' beside it")
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                scripted = any("/code/" in name for name in archive.namelist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
            raise Damaged(path, f"is cut short or damaged ({error}); fetch it again") from error
        return Container.TORCHSCRIPT if scripted else Container.TORCH
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32:
        return Container.SAFETENSORS
    if head.startswith(LEGACY_HEAD):
        return Container.LEGACY
    if head[:1] == b"\x80" and head[1:2] <= bytes([pickle.HIGHEST_PROTOCOL]):
        raise Unsafe(
            path,
            "refused, because it is a pickle of Python objects, which could run code when it is read;"
            " ask its author for safetensors",
        )
    raise Invalid(path, "is no checkpoint (neither safetensors nor torch); give a file of weights")


def read_state_dict(path: Path, *, allow_torchscript: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint on the CPU.

    A training checkpoint's `state_dict` entry and the `module.` prefix of data-parallel runs are unwrapped.

    Args:
        path: a safetensors file, a file of `torch.save`, or a TorchScript archive, whatever its suffix.
        allow_torchscript: also read a TorchScript archive, through `torch.jit.load`; such a file carries code.

    Raises:
        InputError: the file is missing, damaged, or holds something other than tensors.
    """
    return state_dict_of(read_content(path, allow_torchscript=allow_torchscript), path)


def state_dict_of(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Unwrap the state dict in what `read_content` returned for `path`.

    Raises:
        InputError: there is something other than tensors in it.
    """
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise Missing(path, "holds no state dict of tensors; give a model's checkpoint")
    return {key.removeprefix("module."): value for key, value in state.items()}


def read_content(path: Path, *, allow_torchscript: bool = False) -> Mapping[str, Any]:
    """Read what a checkpoint holds, as it was saved; nothing but tensors and plain values is unpickled.

    Raises:
        InputError: the file is missing, damaged, unsafe, or no dictionary.
    """
    container = container_of(path)
    if container is Container.TORCHSCRIPT and not allow_torchscript:
        raise Unsafe(
            path,
            "is a TorchScript archive, which carries code; if you trust it, turn it into a folder with"
            " 'diva export --allow-torchscript'",
        )
    content = _read(path, container)
    if not isinstance(content, Mapping):
        raise Missing(path, "holds no state dict of tensors; give a model's checkpoint")
    return content


def _read(path: Path, container: Container) -> Any:
    try:
        if container is Container.SAFETENSORS:
            return load_file(path)
        if container is Container.TORCHSCRIPT:
            return torch.jit.load(str(path), map_location="cpu").state_dict()
        # mapped, so that a research checkpoint of a whole diffusion model costs what its tower costs
        mapped = container is Container.TORCH
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except SafetensorError as error:
        raise Damaged(path, f"is cut short or damaged ({error}); fetch it again") from error
    except Exception as error:  # a damaged pickle makes its reader raise anything at all
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found:
            raise Unsafe(
                path,
                "refused, because it holds a Python object that could run code when it is read"
                f" ({found[1]}); ask its author for safetensors",
            ) from error
        raise Damaged(path, f"is cut short or damaged ({type(error).__name__}); fetch it again") from error
