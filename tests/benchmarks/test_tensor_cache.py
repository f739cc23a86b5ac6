import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from diva.errors import Unwritable
from diva_benchmarks.tensor_cache import TensorCache

TOWER, DATA = "a" * 64, "b" * 64
EXPECTED = torch.arange(6.0).reshape(2, 3)


def cache(folder: Path | None) -> TensorCache:
    return TensorCache(folder, Console(file=io.StringIO(), width=1000))


def said(store: TensorCache) -> str:
    assert isinstance(store.console.file, io.StringIO)
    return store.console.file.getvalue()


def get(store: TensorCache, compute: Callable[[], torch.Tensor], data: str = DATA) -> torch.Tensor:
    return store.get("images", TOWER, data, "digits", compute)


def refuse() -> torch.Tensor:
    raise AssertionError("it was computed again")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def write_junk(path: Path) -> None:
    path.write_bytes(b"junk")


def write_another(path: Path) -> None:
    save_file({"tensor": EXPECTED}, path)


def rename_the_tensor(path: Path) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["other"] = header.pop("tensor")
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


def test_a_tensor_is_computed_once_and_then_read_to_the_last_bit(tmp_path: Path) -> None:
    get(cache(tmp_path / "new"), lambda: EXPECTED.T.contiguous().T)
    second = cache(tmp_path / "new")
    assert torch.equal(get(second, refuse), EXPECTED)
    assert said(second) == "digits: from the cache\n"
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == f"images-{'a' * 16}-{'b' * 16}.safetensors"
    assert torch.equal(load_file(file)["tensor"], EXPECTED)


def test_other_data_are_another_file_even_where_the_names_begin_alike(tmp_path: Path) -> None:
    get(cache(tmp_path), lambda: EXPECTED)
    assert torch.equal(get(cache(tmp_path), lambda: 2 * EXPECTED, "c" * 64), 2 * EXPECTED)
    other = cache(tmp_path)
    assert torch.equal(get(other, lambda: 3 * EXPECTED, "b" * 63 + "c"), 3 * EXPECTED)
    assert "is damaged (its content has changed since it was written); computed again" in said(other)


@pytest.mark.parametrize("spoil", [flip_a_bit, cut_short, write_junk, write_another, rename_the_tensor])
def test_a_damaged_file_is_told_and_computed_again(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    get(cache(tmp_path), lambda: EXPECTED)
    (file,) = tmp_path.iterdir()
    spoil(file)
    store = cache(tmp_path)
    assert torch.equal(get(store, lambda: EXPECTED), EXPECTED)
    assert f"digits: {file} is damaged" in said(store)
    assert torch.equal(get(cache(tmp_path), refuse), EXPECTED)


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for factor in (1, 2):
        assert torch.equal(get(cache(None), lambda factor=factor: factor * EXPECTED), factor * EXPECTED)
    assert list(tmp_path.iterdir()) == []


def test_a_computation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        get(cache(tmp_path), refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match=r"file/images-.*:"):
        get(cache(tmp_path / "file"), lambda: EXPECTED)
