from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diva.errors import Failed
from diva_benchmarks.miniworld.fit import Schedule, fit

PLAN = Schedule(steps=30, batch=16, learning_rate=0.05, weight_decay=0.0, save_every=4)
WEIGHTS = torch.tensor([[1.0, -2.0, 0.5]])


class _KilledError(Exception):
    pass


def _run(folder: Path, *, schedule: Schedule = PLAN, die_at: int | None = None) -> nn.Linear:
    torch.manual_seed(0)
    model = nn.Linear(3, 1, bias=False)
    steps = 0

    def loss(random: torch.Generator) -> Tensor:
        nonlocal steps
        if steps == die_at:
            raise _KilledError
        steps += 1
        inputs = torch.randn(schedule.batch, 3, generator=random)
        return (model(inputs) - inputs @ WEIGHTS.T).square().mean()

    fit(model, loss, schedule, key=(1, 2), checkpoint=folder / "fit.pt", title="line")
    return model


def test_a_linear_model_finds_the_weights_that_made_its_data(tmp_path: Path) -> None:
    model = _run(tmp_path, schedule=PLAN.model_copy(update={"steps": 300}))
    torch.testing.assert_close(model.weight, WEIGHTS, atol=1e-2, rtol=0)


@pytest.mark.parametrize("die_at", [2, 4, 17, 29])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, die_at: int) -> None:
    with pytest.raises(_KilledError):
        _run(tmp_path / "killed", die_at=die_at)
    resumed, whole = _run(tmp_path / "killed"), _run(tmp_path / "whole")
    assert torch.equal(resumed.weight, whole.weight)


def test_the_rate_rises_to_the_plan_s_then_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, batch=1, learning_rate=2.0)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[4] == max(rates) == 2.0
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert all(later < earlier for earlier, later in pairwise(rates[5:]))
    assert rates[52] == pytest.approx(1.0, abs=0.03)  # half-way down the cosine
    assert rates[-1] < 0.01


def test_a_held_rate_falls_in_the_rest_of_the_steps_alone() -> None:
    schedule = Schedule(steps=100, batch=1, learning_rate=2.0, hold=0.6)
    rates = [schedule.rate(step) for step in range(100)]
    assert set(rates[4:61]) == {2.0}
    assert rates[80] == pytest.approx(1.0)
    assert rates[-1] < 0.01


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(Failed, match=r"line: .*nan.*0"):
        fit(
            model,
            lambda _: model.weight.sum() * float("nan"),
            PLAN,
            key=(0,),
            checkpoint=tmp_path / "fit.pt",
            title="line",
        )
    assert not list(tmp_path.iterdir())
