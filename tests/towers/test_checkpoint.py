"""Reading files of tensors: what is in them comes out, and nothing in them is ever run."""

import hashlib
import json
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from diva.errors import Damaged, InputError, Invalid, Missing, Unsafe
from diva.towers.checkpoint import Container, container_of, file_sha256, read_state_dict, weights_sha256

STATE = {"weight": torch.arange(1000.0).reshape(10, 100), "bias": torch.ones(3, dtype=torch.float16)}


class Malicious:
    """Creates a file where it is unpickled by a reader that trusts it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def write(path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "torch zip")
    return path


@pytest.mark.parametrize("kind", ["safetensors", "torch zip", "torch pickle"])
def test_tensors_come_back_bit_by_bit_whatever_the_file_is_called(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "weights.txt", kind)
    state = read_state_dict(path)
    assert container_of(path).value == kind
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], value) and state[key].dtype == value.dtype for key, value in STATE.items())


@pytest.mark.parametrize("kind", ["torch zip", "torch pickle", "bare pickle"])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path: Path, kind: str) -> None:
    trace, path = tmp_path / "trace", tmp_path / "weights.pt"
    content = {"state_dict": STATE, "hidden": Malicious(trace)}
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch zip")
    with pytest.raises(Unsafe, match=r"weights\.pt:"):
        read_state_dict(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))  # the control: a reader that trusts it runs it
    assert trace.exists()


def test_a_whole_pickled_module_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(Unsafe, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(tmp_path / "module.pt")


def test_a_torchscript_archive_is_read_on_an_explicit_word_only(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    layer = torch.nn.Linear(2, 3)
    torch.jit.trace(layer, torch.zeros(1, 2)).save(str(path))
    assert container_of(path) is Container.TORCHSCRIPT
    with pytest.raises(Unsafe, match="--allow-torchscript"):
        read_state_dict(path)
    assert torch.equal(read_state_dict(path, allow_torchscript=True)["weight"], layer.weight)


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"", pytest.raises(Damaged, match=r"weights\.pt:")),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", pytest.raises(Damaged, match="Git LFS")),
        (b"\x80", pytest.raises(Unsafe, match=r"weights\.pt:")),
        (b"hello, this is a text file\n" * 9, pytest.raises(Invalid, match=r"weights\.pt:")),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), pytest.raises(Invalid, match=r"weights\.pt:")),
    ],
)
def test_foreign_files_are_named_in_one_sentence(
    tmp_path: Path, content: bytes, refused: pytest.RaisesExc[Exception]
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with refused as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_look() -> None:
    with pytest.raises(Missing, match=r"nowhere\.pt: .*docs/data\.md"):
        read_state_dict(Path("nowhere.pt"))


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": [1]}, {"epoch": 3}, {"a": {"b": torch.ones(1)}}])
def test_content_that_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(Missing, match=r"weights\.pt:"):
        read_state_dict(tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", ["safetensors", "torch zip", "torch pickle"])
@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_told_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    path = write(tmp_path_factory.mktemp("cut") / "weights.pt", kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"fetch it again|is no checkpoint|refused") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "torch zip", "torch pickle"])
@settings(max_examples=60)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_told_by_another_exception(
    tmp_path_factory: pytest.TempPathFactory, kind: str, position: float, bit: int
) -> None:
    path = write(tmp_path_factory.mktemp("flip") / "weights.pt", kind)
    damaged = bytearray(path.read_bytes())
    damaged[int(position * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    with suppress(InputError):  # any other exception fails the test
        read_state_dict(path)


def test_the_wrappings_of_training_are_taken_off(tmp_path: Path) -> None:
    wrapped = {f"module.{key}": value for key, value in STATE.items()}
    torch.save({"epoch": 7, "state_dict": wrapped}, tmp_path / "epoch_7.pt")
    assert read_state_dict(tmp_path / "epoch_7.pt").keys() == STATE.keys()


def test_hashes_are_sha256_of_the_bytes_and_of_all_shards(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    single = hashlib.sha256(b"a" * 10).hexdigest()
    assert file_sha256(tmp_path / "a") == weights_sha256(tmp_path / "a") == single
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "b", "y": "a", "z": "b"}}))
    both = single + hashlib.sha256(b"b" * 10).hexdigest()
    assert weights_sha256(index) == hashlib.sha256(both.encode()).hexdigest()
    index.write_text("{}")
    with pytest.raises(Damaged, match=r"model\.safetensors\.index\.json:"):
        weights_sha256(index)
