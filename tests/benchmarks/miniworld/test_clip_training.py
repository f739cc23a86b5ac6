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


def test_the_first_part_is_repeated_until_shapes_and_places_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, first = [], []
    for known, repeats in ((0.0, 1), (100.1, clip_training.BARE_ROUNDS)):
        monkeypatch.setattr(clip_training, "KNOWN", known)
        folder = tmp_path / str(known)
        trained.append(_train(folder))
        assert len(list(folder.glob("clip-bare-*.pt"))) == repeats
        first.append(torch.load(folder / "clip-bare-0.pt", weights_only=True)["model"])
    # a base that needs no repeat has the weights that it would have without them
    assert all(torch.equal(value, first[1][name]) for name, value in first[0].items())
    assert not all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())


def test_a_killed_repeat_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_training, "KNOWN", 100.1)
    whole = _train(tmp_path / "whole")
    (killed := tmp_path / "killed").mkdir()
    for name in ("clip-bare-0.pt", "clip-bare-1.pt"):
        (killed / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    again = _train(killed)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
