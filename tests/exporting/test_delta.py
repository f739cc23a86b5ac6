"""Deltas: what comes back, bit by bit or within the stated bound, and what is refused."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from diva.errors import InputError
from diva.exporting.delta import Delta, is_delta, state_sha256

# every finite float32, from subnormal to huge: base + difference rounds wherever it can
NUMBERS = st.floats(-(2.0**120), 2.0**120, width=32)
FLOATS = st.lists(NUMBERS, min_size=6, max_size=6)


def states(base: list[float], trained: list[float]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    frozen = {"text.weight": torch.ones(3)}
    return (
        {"visual.weight": torch.tensor(base).reshape(2, 3), **frozen},
        {"visual.weight": torch.tensor(trained).reshape(2, 3), **frozen},
    )


@given(base=FLOATS, trained=FLOATS)
def test_a_float32_delta_gives_back_every_trained_weight_bit_by_bit(
    base: list[float], trained: list[float]
) -> None:
    before, after = states(base, trained)
    restored = Delta.between(before, after, "float32", {}).apply(before, "base")
    assert restored.keys() == after.keys()
    assert all(torch.equal(restored[key].view(torch.int32), after[key].view(torch.int32)) for key in after)


def test_where_the_sum_rounds_the_trained_number_itself_is_stored() -> None:
    before, after = states([1e8, 0, 1, 1, 1, 1], [1e-8, -0.0, 1.5, 1, 1, 1])
    assert torch.tensor(1e8) + (torch.tensor(1e-8) - torch.tensor(1e8)) != torch.tensor(1e-8)
    delta = Delta.between(before, after, "float32", {})
    assert delta.tensors["index/visual.weight"].tolist() == [0, 1]
    assert torch.equal(delta.apply(before, "base")["visual.weight"], after["visual.weight"])


@given(base=FLOATS, trained=FLOATS)
def test_a_bfloat16_delta_lies_within_its_stated_bound(base: list[float], trained: list[float]) -> None:
    before, after = states(base, trained)
    restored = Delta.between(before, after, "bf16", {}).apply(before, "base")["visual.weight"].double()
    trained_weights, base_weights = after["visual.weight"].double(), before["visual.weight"].double()
    rounding = 2.0**-23 * torch.maximum(trained_weights.abs(), base_weights.abs())  # of the float32 sums
    bound = 2.0**-8 * (trained_weights - base_weights).abs() + 2 * rounding + 2.0**-132
    assert ((restored - trained_weights).abs() <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_a_delta_travels_through_a_file_and_holds_only_what_changed(tmp_path: Path, dtype: str) -> None:
    before, after = states([0.5] * 6, [0.25, 0.5, 0.75, 1.0, 2.0, 3.1])
    delta = Delta.between(before, after, dtype, {"tower": "{}"})
    delta.save(tmp_path / "delta.safetensors")
    loaded = Delta.load(tmp_path / "delta.safetensors")
    stored = load_file(tmp_path / "delta.safetensors")
    assert {key: value.dtype for key, value in stored.items()} == {
        "difference/visual.weight": torch.float32 if dtype == "float32" else torch.bfloat16
    }
    first, second = delta.apply(before, "base"), loaded.apply(before, "base")
    assert all(torch.equal(first[key], second[key]) for key in after)
    assert state_sha256(second) == loaded.fields["result_sha256"]


def test_the_wrong_base_and_a_damaged_delta_are_refused() -> None:
    before, after = states([0.5] * 6, [0.25] * 6)
    delta = Delta.between(before, after, "float32", {})
    with pytest.raises(InputError, match=r"other\.pt: is not the base that this delta was taken from"):
        delta.apply(after, "other.pt")
    delta.tensors["difference/visual.weight"][0, 0] = 3
    with pytest.raises(InputError, match="the delta does not give the tower that it should"):
        delta.apply(before, "base.pt")


def test_other_files_are_no_deltas(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "plain.safetensors").read_bytes()[:-2])
    for name in ("plain.safetensors", "plain.pt", "cut.safetensors"):
        assert not is_delta(tmp_path / name)
    with pytest.raises(InputError, match="is no delta of this version"):
        Delta.load(tmp_path / "plain.pt")


def test_the_hash_of_a_state_tells_names_types_and_every_bit() -> None:
    state = {"a": torch.ones(2), "b": torch.tensor(2.0)}
    assert state_sha256(state) == state_sha256(dict(reversed(state.items())))
    others = [
        {"a": torch.ones(2), "c": torch.tensor(2.0)},
        {"a": torch.ones(2), "b": torch.tensor(2.0).double()},
        {"a": torch.tensor([1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))]), "b": torch.tensor(2.0)},
    ]
    assert len({state_sha256(other) for other in (state, *others)}) == 4
