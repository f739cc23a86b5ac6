"""Is the feedback real, and what does it do to the tower? Label-free measurements on a fixed grid.

The teacher's loss under the right, a shuffled and the empty condition says whether the condition carries anything
of the image; drift and similarity say how far the tower moved and whether its embeddings collapse.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from diva.denoisers import Context, Denoiser
from diva.feedback import Draws
from diva.progress import Phase, phase
from diva.towers import TowerTokens
from diva.training.student import Student

# share of the loss: a gap that is shown to lie below it is none; a teacher that reads its condition loses several
# times as much to a wrong one (docs/miniworld.md)
NO_GAP = 0.02
COLLAPSED = 0.5  # share of the original spread of embeddings below which a tower is said to collapse


class Measurement(NamedTuple):
    """One look at the student.

    Attributes:
        loss_right, loss_shuffled, loss_empty: the teacher's mean squared error under the image's own condition,
            under another image's, and under the text alone.
        gap: loss_shuffled - loss_right; gap_error: its standard error over images.
        drift: 1 - cosine between the pooled embeddings of now and of the start, mean over images.
        similarity: mean cosine between the pooled embeddings of different images.
    """

    loss_right: float
    loss_shuffled: float
    loss_empty: float
    gap: float
    gap_error: float
    drift: float
    similarity: float


class Diagnostics:
    """Measures a student on the same images, timesteps and noise every time."""

    def __init__(
        self, student: Student, denoiser: Denoiser, *, pixels: Tensor, latents: Tensor, draws: Draws
    ) -> None:
        """Keep the grid, and the embeddings of the tower as it is now.

        Args:
            student: of the original tower.
            denoiser: the teacher.
            pixels: [B, 3, H, W], the tower's input; latents: [B, c, h, w] of the same images.
            draws: of S noise samples an image.
        """
        self._student, self._denoiser = student, denoiser
        self._pixels, self._latents, self._draws = pixels, latents, draws
        with torch.no_grad(), _evaluating(student):
            self._original = student.tower(pixels).pooled.float()

    @property
    def original_similarity(self) -> float:
        """Mean cosine between different images' embeddings at the start."""
        return _similarity(self._original)

    @torch.no_grad()
    def measure(self) -> Measurement:
        """Measure the student as it is now; its mode and its gradients are left as they are."""
        with _evaluating(self._student):
            tokens = TowerTokens(*(part.float() for part in self._student.tower(self._pixels)))
            context = self._student.condition(tokens, self._draws.condition)
        samples, batch = self._draws.timesteps.shape
        contexts = (
            context,
            context.shuffled(samples),
            self._student.condition.empty.repeat(samples * batch),
        )
        with phase("measuring the feedback", len(contexts) * samples) as progress:
            right, wrong, empty = (self._losses(each, progress) for each in contexts)
        gap = (wrong - right).mean(dim=0)
        return Measurement(
            loss_right=right.mean().item(),
            loss_shuffled=wrong.mean().item(),
            loss_empty=empty.mean().item(),
            gap=gap.mean().item(),
            gap_error=(gap.std() / math.sqrt(len(gap))).item(),
            drift=(1 - cosine_similarity(tokens.pooled, self._original)).mean().item(),
            similarity=_similarity(tokens.pooled),
        )

    def _losses(self, context: Context, progress: Phase) -> Tensor:
        """Return the loss [S, B] of every noise sample and image under `context`, one noise sample at a time."""
        losses = []
        places = torch.arange(self._draws.timesteps.numel(), device=self._pixels.device)
        for timesteps, noise, own in zip(
            self._draws.timesteps, self._draws.noise, places.split(len(self._pixels)), strict=True
        ):
            noisy = self._denoiser.add_noise(self._latents, noise, timesteps)
            target = self._denoiser.target(self._latents, noise, timesteps)
            error = self._denoiser(noisy, timesteps, context.take(own)) - target
            losses.append(error.square().flatten(1).mean(dim=1))
            progress.advance()
        return torch.stack(losses)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while; every part goes back to the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def warnings(now: Measurement, original_similarity: float) -> list[str]:
    """Say in plain words what a measurement of a trained student shows to be wrong, or is too small to show."""
    said = []
    if now.gap < 2 * now.gap_error:
        losses = (
            f"(loss {now.loss_shuffled:.5f} against {now.loss_right:.5f}, difference {now.gap:.1e} ±"
            f" {now.gap_error:.1e})"
        )
        if now.gap + 2 * now.gap_error < NO_GAP * now.loss_right:
            said.append(
                "the condition carries nothing: another image's is as good as the image's own"
                f" {losses}; the tower gets no feedback"
            )
        else:
            said.append(
                "whether the condition carries anything cannot be told: another image's may be as good as the"
                f" image's own {losses}; raise diagnostics.images"
            )
    if 1 - now.similarity < COLLAPSED * (1 - original_similarity):
        said.append(
            f"the tower collapses: the mean cosine between different images rose from {original_similarity:.3f}"
            f" to {now.similarity:.3f}; lower the learning rate"
        )
    return said


def _similarity(pooled: Tensor) -> float:
    cosines = normalize(pooled, dim=-1) @ normalize(pooled, dim=-1).T
    count = len(pooled)
    return ((cosines.sum() - cosines.trace()) / (count * (count - 1))).item()
