from pathlib import Path

import pytest
import torch
from torch import Tensor

from diva_benchmarks.miniworld import clip_training
from diva_benchmarks.miniworld.fit import Schedule

QUICK = Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1)


@pytest.fixture(autouse=True)
def _few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_training, "LOOK_PAIRS", 2)
    monkeypatch.setattr(clip_training, "LOOK_PICTURES", 20)


def _train(folder: Path) -> dict[str, Tensor]:
    folder.mkdir(exist_ok=True)
    model = clip_training.train_clip(QUICK, QUICK, seed=3, device=torch.device("cpu"), folder=folder)
    return model.state_dict()


def test_the_first_part_goes_on_where_shapes_and_places_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    for least, attempts in ((0.0, 1), (100.1, clip_training.ATTEMPTS)):
        monkeypatch.setattr(clip_training, "MIN_ZERO_SHOT", least)
        folder = tmp_path / str(least)
        trained.append(_train(folder))
        for part in ("clip", "clip-bare"):
            names = {f"{part}.pt", *(f"{part}-{number}.pt" for number in range(1, attempts))}
            assert {path.name for path in folder.glob("*.pt")} >= names
        assert len(list(folder.glob("*.pt"))) == 2 * attempts
    assert not all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())
    # the first attempt is that of a base that needs no other
    for part in ("clip.pt", "clip-bare.pt"):
        first, other = (
            torch.load(tmp_path / folder / part, weights_only=True)["model"] for folder in ("0.0", "100.1")
        )
        assert all(torch.equal(value, other[name]) for name, value in first.items())


def test_a_killed_attempt_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_training, "MIN_ZERO_SHOT", 100.1)
    whole = _train(tmp_path / "whole")
    (killed := tmp_path / "killed").mkdir()
    for name in ("clip-bare.pt", "clip.pt", "clip-bare-1.pt"):
        (killed / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    again = _train(killed)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
