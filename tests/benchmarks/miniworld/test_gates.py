import json
import math

import pytest
import torch
from torch import Tensor

from diva.miniworld.base import SHIPPED
from diva.miniworld.captions import full_captions
from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES
from diva.towers import Clip, load_clip
from diva_benchmarks.miniworld import gates
from diva_benchmarks.miniworld.clip_training import build_clip, save_clip
from diva_benchmarks.miniworld.gates import Gate, Gates, pair_accuracies, teacher_rises, zero_shot
from diva_benchmarks.miniworld.teacher import MiniatureTeacher
from diva_benchmarks.miniworld.teacher_training import vocabulary


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("untrained") / "clip"
    save_clip(build_clip(0), folder)
    return load_clip(str(folder))


def test_an_untrained_clip_is_near_chance_in_zero_shot_and_fails_most_pairs(
    untrained: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "PAIRS", 60)
    monkeypatch.setattr(gates, "ZERO_SHOT_PICTURES", 300)
    assert zero_shot(untrained, 0, 1000) < 15  # chance: 3.1 %
    accuracies = pair_accuracies(untrained, 0, 300)
    assert len(accuracies) == len(ATTRIBUTES)
    # nothing in the pictures tells the two statements apart, so both pick the same one of the two
    assert sum(accuracies) / 9 < 30


def test_the_shipped_base_gets_the_pairs_right_that_its_recipe_says() -> None:
    said = json.loads(SHIPPED.recipe.read_text())["gates"]["pairs"]
    found = pair_accuracies(load_clip(str(SHIPPED.clip)), 0, gates.PAIRS)
    assert found == pytest.approx([gate["value"] for gate in said], abs=1)


class _Listener(MiniatureTeacher):
    """A teacher whose error is one thousandth for each word by which a caption misses the truth."""

    def hear(self, truth: list[str]) -> None:
        self.truth = truth

    def tokenize(self, texts: list[str]) -> Tensor:
        wrong = [len(set(true.split()) ^ set(said.split())) for true, said in zip(self.truth, texts, strict=True)]
        return torch.tensor(wrong)

    def context(self, ids: Tensor) -> Tensor:
        return ids

    def noise_error(self, latents: Tensor, context: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        assert latents.shape == noise.shape
        assert len(timesteps) == len(latents)
        return 1 + context / 1000


def test_the_rise_is_that_of_the_captions_with_one_wrong_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "GRID_PICTURES", 6)
    monkeypatch.setattr(gates, "GRID_TIMESTEPS", 2)
    teacher = _Listener.build(48, vocabulary(), 0)
    teacher.hear(full_captions(draw(6, generator(0, gates.GRID_KEY))))
    rises, losses = teacher_rises(teacher, 0)
    assert losses["right"] == 1
    assert rises["orientation"] == pytest.approx(0.2, abs=1e-3)  # "west" for "east": two words differ
    # "wearing a hat" for "bareheaded": four words differ, but "a" stands elsewhere in the caption too
    assert rises["presence"] == pytest.approx(0.3, abs=1e-3)
    assert losses["shuffled"] > 1
    assert set(rises) == set(NAMES)


def test_a_gate_holds_at_its_bounds_and_fails_beyond_them() -> None:
    def passes(value: float) -> bool:
        return Gate(name="x", value=value, low=10, high=90).passed

    assert [passes(value) for value in (9.9, 10, 50, 90, 90.1)] == [False, True, True, True, False]
    assert not Gate(name="x", value=math.nan, low=1, high=math.inf).passed


def test_failed_gates_of_all_three_kinds_are_listed() -> None:
    good, bad = (Gate(name=str(value), value=value, low=1, high=math.inf) for value in (2, 0))
    measured = Gates(pairs=[good, bad], rises=[bad, good], zero_shot=bad, losses={})
    assert len(measured.failed) == 3
