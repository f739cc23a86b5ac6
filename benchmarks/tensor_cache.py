"""Tensors that take hours to compute, kept in a folder and trusted only while they are whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from diva.atomic import replacing
from diva.digest import tensors_sha256
from diva.documents import open_file

NAME = "tensor"


@dataclass(frozen=True)
class TensorCache:
    """One safetensors file a tensor, named by what it was computed by and from.

    Attributes:
        folder: where the files lie; None keeps nothing.
        console: where is said what was found, and what was found damaged.
    """

    folder: Path | None
    console: Console

    def get(self, kind: str, tower: str, data: str, title: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the tensor of `kind` by `tower` from `data`; it is computed only where no whole file holds it.

        Args:
            kind: "images" or the like; the file's name begins with it.
            tower, data: hashes in hexadecimal.
            title: what the tensor is, in words.
            compute: returns it, on the CPU.

        Raises:
            InputError: the folder cannot be written to.
        """
        if self.folder is None:
            return compute()
        path = self.folder / f"{kind}-{tower[:16]}-{data[:16]}.safetensors"
        origin = {"kind": kind, "tower": tower, "data": data}
        if path.exists():
            try:
                found = _read(path, origin)
            except (SafetensorError, OSError, _DamagedError) as error:
                self._say(f"{title}: {path} is damaged ({error}); computed again")
            else:
                self._say(f"{title}: from the cache")
                return found
        tensor = compute().contiguous()
        with replacing(path) as temporary:
            temporary.write_bytes(save({NAME: tensor}, origin | {"sha256": tensors_sha256({NAME: tensor})}))
        return tensor

    def _say(self, sentence: str) -> None:
        self.console.print(Text(sentence))


class _DamagedError(Exception):
    """A file that opens but holds something else than was written."""


def _read(path: Path, origin: dict[str, str]) -> Tensor:
    open_file(path).close()  # a FIFO would be waited for
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(NAME)
        if file.metadata() != origin | {"sha256": tensors_sha256({NAME: tensor})}:
            raise _DamagedError("its content has changed since it was written")
    return tensor
