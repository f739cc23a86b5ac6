import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diva.condition import build_condition
from diva.denoisers import Context
from diva.feedback import Draws
from diva.recipes import Recipe
from diva.recipes.conditions import DenseRecap, PooledToken
from diva.towers import load_clip
from diva.training import train
from diva.training.diagnostics import Diagnostics, Measurement, warnings
from diva.training.student import Student

BATCH, SAMPLES = 6, 3


class Telepath:
    """A teacher whose target is a number of the image and whose prediction is the first number of the context."""

    network = nn.Module()
    token_width, vector_width = 1, None

    def encode_prompt(self, prompt: str) -> Context:
        assert not prompt
        return Context(torch.full((1, 4, 1), 0.5), None)

    def draw_timesteps(self, samples: int, generator: torch.Generator) -> Tensor:
        return torch.randint(1000, (samples,), generator=generator)

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        return 1, side, side

    def draw_posterior(self, side: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError(side, generator)

    def encode(self, rgb: Tensor, posterior: Tensor | None = None) -> Tensor:
        raise NotImplementedError(rgb, posterior)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return latents + noise + 0 * timesteps.view(-1, 1, 1, 1)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return latents + 0 * noise + 0 * timesteps.view(-1, 1, 1, 1)

    def __call__(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        assert context.tokens is not None
        return context.tokens[:, :1, :1].unsqueeze(-1).expand_as(noisy) + 0 * timesteps.view(-1, 1, 1, 1)

    def save(self, folder: Path) -> None:
        raise NotImplementedError(folder)


@pytest.fixture
def student(tower_folder: Path) -> Student:
    torch.manual_seed(0)
    section = DenseRecap(tokens=PooledToken(), combine="mean_text")
    tower = load_clip(str(tower_folder)).tower
    return Student(tower, build_condition(section, tower, Telepath()))


def diagnostics(student: Student, latents: Tensor, pixels: Tensor) -> Diagnostics:
    draws = Draws(
        torch.zeros(SAMPLES, BATCH, dtype=torch.int64),
        torch.zeros(SAMPLES, *latents.shape),
        torch.zeros(SAMPLES, BATCH, 0, dtype=torch.int64),
        torch.empty(BATCH, 0),
        torch.zeros(0, BATCH, dtype=torch.int64),
    )
    return Diagnostics(student, Telepath(), pixels=pixels, latents=latents, draws=draws)


def test_losses_and_gap_are_those_worked_by_hand(student: Student) -> None:
    torch.manual_seed(1)
    pixels = torch.rand(BATCH, 3, 32, 32)
    with torch.no_grad():
        pooled = student.tower(pixels).pooled
        told = 0.5 + student.condition.projection(pooled).squeeze(1)  # what each image's context says
    latents = (told + 0.1).view(BATCH, 1, 1, 1).expand(-1, 1, 2, 2)
    measured = diagnostics(student, latents, pixels).measure()
    wrong = [(told[i - 1] - told[i] - 0.1).item() ** 2 for i in range(BATCH)]
    assert measured.loss_right == pytest.approx(0.01, rel=1e-4)
    assert measured.loss_shuffled == pytest.approx(sum(wrong) / BATCH, rel=1e-4)
    assert measured.loss_empty == pytest.approx(((0.5 - told - 0.1) ** 2).mean().item(), rel=1e-4)
    assert measured.gap == pytest.approx(sum(wrong) / BATCH - 0.01, rel=1e-3)
    spread = torch.tensor(wrong).std().item()
    assert measured.gap_error == pytest.approx(spread / BATCH**0.5, rel=1e-3)
    assert measured.drift == pytest.approx(0, abs=1e-6)
    cosine = nn.functional.cosine_similarity(pooled.unsqueeze(0), pooled.unsqueeze(1), dim=-1)
    assert measured.similarity == pytest.approx(cosine[~torch.eye(BATCH, dtype=torch.bool)].mean().item(), rel=1e-4)


def test_drift_and_collapse_follow_the_tower(student: Student) -> None:
    torch.manual_seed(1)
    grid = diagnostics(student, torch.zeros(BATCH, 1, 2, 2), torch.rand(BATCH, 3, 32, 32))
    with torch.no_grad():
        student.tower.visual.proj.neg_()
    assert grid.measure().drift == pytest.approx(2, rel=1e-4)
    with torch.no_grad():
        for parameter in student.tower.visual.transformer.parameters():
            parameter.zero_()
        student.tower.visual.conv1.weight.zero_()
    assert grid.measure().similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("gap", "error", "similarity", "says"),
    [
        (0.010, 0.001, 0.50, []),
        (0.001, 0.001, 0.50, ["carries nothing"]),
        (-0.01, 0.001, 0.50, ["carries nothing"]),
        (0.010, 0.006, 0.50, ["cannot be told"]),  # up to 2.2 % of the loss
        (-0.01, 0.020, 0.50, ["cannot be told"]),
        (0.010, 0.001, 0.74, []),
        (0.010, 0.001, 0.76, ["collapses"]),
        (0.000, 0.001, 0.99, ["carries nothing", "collapses"]),
    ],
)
def test_warnings_say_what_is_wrong_in_plain_words(
    gap: float, error: float, similarity: float, says: list[str]
) -> None:
    now = Measurement(1.0, 1.0 + gap, 1.0, gap, error, 0.1, similarity)
    said = warnings(now, original_similarity=0.5)
    assert len(said) == len(says)
    assert all(word in sentence for word, sentence in zip(says, said, strict=True))


def test_measurements_are_in_the_metrics_and_do_not_change_the_run(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    losses = []
    for every in ("null", "2"):
        recipe = tiny(f"diagnostics.every={every}", "diagnostics.images=4", "stages.0.steps=5")
        train(recipe, tmp_path / every)
        lines = [json.loads(line) for line in (tmp_path / every / "metrics.jsonl").read_text().splitlines()]
        losses.append([(line["loss"], line["grad_norm"]) for line in lines])
    assert losses[0] == losses[1]
    assert [line["step"] for line in lines if "gap" in line] == [2, 4, 5]
    assert lines[-1]["drift"] > lines[1]["drift"] > 0


def test_the_shuffled_control_reads_another_image(tiny: Callable[..., Recipe], student: Student) -> None:
    pixels = torch.rand(3, 3, 32, 32)
    choice = torch.zeros(2, 3, 0, dtype=torch.int64)
    with torch.no_grad():
        own = student(pixels, choice).context.tokens
        student.shuffle = True
        other = student(pixels, choice).context.tokens
    order = [2, 0, 1]
    torch.testing.assert_close(other, own[[*order, *(3 + i for i in order)]])
    assert tiny("feedback.shuffle_condition=true").feedback.shuffle_condition
