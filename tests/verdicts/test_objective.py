"""The objective against its formula, written out number by number in float64."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diva.denoisers import Context
from diva.denoisers.absent import AbsentDenoiser
from diva.objectives import HeldOutside, ObjectiveInputs, StatementVerdicts, build_objective
from diva.recipes.objectives import Verdicts
from diva.towers import Clip, TowerTokens, load_clip
from diva.verdicts.readings import Readings
from tests.verdicts.test_judge import CAPTION, COLOURS, NOUNS, SIDES, statements

BATCH, WIDTH = 4, 32
CPU = torch.device("cpu")
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "abstaining": {"margin": 0.2, "temperature": 0.3, "own_weight": 1.7},
    "another image's": {"labels": "another_image"},
    "the tower's own": {"labels": "tower"},
}


@pytest.fixture(scope="module")
def clip(tower_folder: Path) -> Clip:
    clip = load_clip(str(tower_folder))
    clip.model.double()
    return clip


def inputs() -> ObjectiveInputs:
    generator = torch.Generator().manual_seed(4)
    pooled = torch.randn(BATCH, WIDTH, generator=generator, dtype=torch.float64).requires_grad_()
    verdicts = torch.rand(BATCH, 3, 7, generator=generator, dtype=torch.float64) + 0.3
    none = torch.empty(0)
    return ObjectiveInputs(1, none, pooled, none, none, none, none, Context(None, None), (), verdicts)


def by_hand(clip: Clip, seen: ObjectiveInputs, section: Verdicts) -> Tensor:
    """Return the loss, one image, group and alternative after another."""
    assert seen.verdicts is not None
    scale = clip.model.logit_scale.exp().detach()
    taught: list[Tensor] = []
    held: dict[str, list[Tensor]] = {"noun": []}
    spans = {"noun": (0, 2), "colour": (2, 5), "side": (5, 7)}
    for image in range(BATCH):
        losses, own = seen.verdicts[image, 0].tolist(), seen.verdicts[image, 1].tolist()
        if section.labels == "another_image":
            losses = seen.verdicts[image - 1, 0].tolist()
        noun = NOUNS[own[:2].index(max(own[:2]))]
        texts = {
            "noun": [f"a photo of a {each}" for each in NOUNS],
            "colour": [f"a photo of a {each} {noun}" for each in COLOURS],
            "side": [f"a photo of a {noun} {each}" for each in SIDES],
        }
        for name, (start, end) in spans.items():
            told = clip.encode_text(texts[name])
            logits = [scale * (seen.pooled[image] @ row) / seen.pooled[image].norm() / row.norm() for row in told]
            total = sum(torch.exp(logit) for logit in logits)
            logs = [logit - torch.log(total) for logit in logits]
            read = own[start:end]
            if name == "noun" or section.labels == "tower":
                loss = -logs[read.index(max(read))]
                (held["noun"] if name == "noun" else taught).append(loss)
                continue
            best, second, *_ = sorted(losses[start:end])
            if second / best - 1 < section.margin:
                continue
            weights = [math.exp(-(loss / best - 1) / section.temperature) for loss in losses[start:end]]
            taught.append(-sum(w / sum(weights) * log for w, log in zip(weights, logs, strict=True)))
    return sum(taught) / len(taught) + section.own_weight * sum(held["noun"]) / BATCH


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_loss_and_gradients_are_those_of_the_formula(clip: Clip, settings: dict[str, Any]) -> None:
    section, seen = Verdicts(statements="mine", **settings), inputs()
    objective = StatementVerdicts(section, Readings(statements(CAPTION), clip, CPU))
    ours, theirs = objective(AbsentDenoiser(), seen), by_hand(clip, seen, section)
    torch.testing.assert_close(ours, theirs.expand(1), rtol=1e-12, atol=0)
    (expected,) = torch.autograd.grad(theirs, [seen.pooled])
    (found,) = torch.autograd.grad(ours.sum(), [seen.pooled])
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-14)


def test_where_every_verdict_abstains_only_the_own_readings_teach(clip: Clip) -> None:
    seen = inputs()
    readings = Readings(statements(CAPTION), clip, CPU)
    silent = StatementVerdicts(Verdicts(statements="mine", margin=1e9), readings)(AbsentDenoiser(), seen)
    unheld = StatementVerdicts(Verdicts(statements="mine", margin=1e9, own_weight=0.0), readings)
    assert silent.item() > 0
    assert unheld(AbsentDenoiser(), seen).item() == 0


def test_the_text_tower_is_asked_once_and_learns_nothing(clip: Clip) -> None:
    seen = inputs()
    objective = StatementVerdicts(Verdicts(statements="mine"), Readings(statements(CAPTION), clip, CPU))
    objective(AbsentDenoiser(), seen).sum().backward()
    text = [parameter for name, parameter in clip.model.named_parameters() if not name.startswith("visual.")]
    assert all(parameter.grad is None for parameter in text)


def test_what_holds_the_tower_is_how_far_it_moved_off_the_statements(clip: Clip) -> None:
    seen, weight = inputs(), 3.0
    original = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    readings = Readings(statements(CAPTION), clip, CPU)
    free, plain = readings.directions(), StatementVerdicts(Verdicts(statements="mine"), readings)
    held = HeldOutside(plain, lambda _: TowerTokens(original, original[:, None]), free, weight)
    expected = sum(
        ((moved := a / a.norm() - b / b.norm()) @ moved) - sum((moved @ each) ** 2 for each in free)
        for a, b in zip(seen.pooled, original, strict=True)
    )
    ours = held(AbsentDenoiser(), seen) - plain(AbsentDenoiser(), seen)
    torch.testing.assert_close(ours, (weight * expected / BATCH).expand(1), rtol=1e-9, atol=1e-12)
    (found,) = torch.autograd.grad(ours.sum(), [seen.pooled], retain_graph=True)
    (right,) = torch.autograd.grad(weight * expected / BATCH, [seen.pooled])
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-12)


def test_the_free_directions_are_those_between_alternatives_and_no_more(clip: Clip) -> None:
    told = statements(CAPTION)
    free = Readings(told, clip, CPU).directions()
    torch.testing.assert_close(free @ free.T, torch.eye(len(free), dtype=free.dtype))
    differences = []
    for name, group in (("colour", COLOURS), ("side", SIDES)):
        assert name in told.judged
        for texts in told.texts(name):
            rows = torch.stack([row / row.norm() for row in clip.encode_text(texts)])
            assert len(rows) == len(group)
            differences.append(rows - rows.mean(0))
    total = torch.cat(differences)
    inside = (total @ free.T).square().sum() / total.square().sum()
    fewer = (total @ free[:-1].T).square().sum() / total.square().sum()
    assert fewer < 0.99 <= inside


def test_a_recipe_that_holds_the_tower_reads_the_pictures_with_the_original_as_well(clip: Clip) -> None:
    section = Verdicts(statements="general", hold=2.0)
    objective = build_objective(section, clip, CPU, torch.float64)
    assert isinstance(objective, HeldOutside)
    assert isinstance(build_objective(Verdicts(statements="general"), clip, CPU, torch.float64), StatementVerdicts)
