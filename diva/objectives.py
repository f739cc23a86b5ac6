"""Losses: what is asked of the denoiser about S noise samples of B images, and how its answer becomes a number."""

import copy
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize, one_hot
from torch.utils.checkpoint import checkpoint

from diva.denoisers.base import Context, Denoiser
from diva.errors import Invalid
from diva.recipes.objectives import AnyObjective, Contrastive, MeanAbsoluteError, MeanSquaredError, Verdicts
from diva.towers import Clip, Tower
from diva.towers.tower import TowerTokens
from diva.verdicts.judge import LOGITS, LOSSES, holds, relative
from diva.verdicts.readings import Readings
from diva.verdicts.statements import load_statements


class ObjectiveInputs(NamedTuple):
    """All that an objective may look at; batches of S * B are sample-major.

    Attributes:
        samples: S.
        pixels: [B, 3, H, W], the tower's input.
        pooled: [B, D], the tower's embeddings of it.
        latents, noise, noisy: [S * B, c, h, w], clean latents, noise, and their mixture at `timesteps`.
        timesteps: [S * B].
        context: of batch S * B, what the condition makes of each image.
        views: the same of each further view that the objective asks for.
        verdicts: [B, 3, A], of a cache of verdicts (`diva.verdicts.judge`).
    """

    samples: int
    pixels: Tensor
    pooled: Tensor
    latents: Tensor
    noise: Tensor
    noisy: Tensor
    timesteps: Tensor
    context: Context
    views: tuple[Context, ...]
    verdicts: Tensor | None = None


class Objective(Protocol):
    """A loss of each noise sample.

    Attributes:
        views: number of further, augmented views of each image that the tower shall read.
    """

    views: int

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        """Ask the denoiser and return the losses [S]."""


class Denoising:
    """The mean error of the denoiser's prediction (DDPM, equation 14; DIVA, equation 4; GenHancer, equation 2)."""

    views = 0

    def __init__(self, error: Callable[[Tensor], Tensor]) -> None:
        """Take the error of a difference, elementwise."""
        self._error = error

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        """Return the losses [S], means over images, channels and positions."""
        prediction = denoiser(inputs.noisy, inputs.timesteps, inputs.context)
        target = denoiser.target(inputs.latents, inputs.noise, inputs.timesteps)
        return self._error(prediction - target).unflatten(0, (inputs.samples, -1)).flatten(1).mean(dim=1)


class ContrastiveReconstruction:
    """DCR's loss (arXiv 2603.04803): a prediction shall depend on the image that its condition describes.

    For each image i the anchor is the prediction from its noisy latents under its own condition. Two positives, the
    prediction under the condition of an augmented view and the ground truth, compete with the B - 1 predictions
    under the other images' conditions. Similarities are cosines of flattened predictions, in float32 at least, and
    both InfoNCE terms share one denominator.
    """

    views = 1

    def __init__(self, section: Contrastive) -> None:
        """Take temperature, chunk and ground truth from `section`."""
        self._temperature, self._chunk = section.temperature, section.chunk
        self._velocity = section.ground_truth == "velocity"

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        """Return the losses [S], means over images.

        Raises:
            InputError: there is no other image in the batch.
        """
        batch = len(inputs.pooled)
        if batch < 2:
            raise Invalid("training.micro_batch", "1 leaves no other image to contrast with; take 2 or more")
        truth = self._truth(denoiser, inputs)
        (view,) = inputs.views
        losses = []
        for rows in torch.arange(len(truth), device=truth.device).split(batch):
            conditions = inputs.context.take(rows).join(view.take(rows))
            losses.append(self._loss(denoiser, inputs.noisy[rows], inputs.timesteps[rows], truth[rows], conditions))
        return torch.stack(losses)

    def _truth(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        if self._velocity:  # sqrt(ᾱ_t) · noise - sqrt(1 - ᾱ_t) · latents
            return denoiser.add_noise(inputs.noise, -inputs.latents, inputs.timesteps)
        return denoiser.target(inputs.latents, inputs.noise, inputs.timesteps)

    def _loss(
        self, denoiser: Denoiser, noisy: Tensor, timesteps: Tensor, truth: Tensor, conditions: Context
    ) -> Tensor:
        """Return the loss of one noise sample of B images; `conditions` are their own, then their views'."""

        def predict(images: Tensor, told: Tensor) -> Tensor:
            return _vectors(denoiser(noisy[images], timesteps[images], conditions.take(told)))

        def compare(images: Tensor, told: Tensor) -> Tensor:
            return cosine_similarity(anchors[images], predict(images, told), dim=1)

        batch = len(noisy)
        own = torch.arange(batch, device=noisy.device)
        anchors = self._in_chunks(predict, own, own)
        told = own.repeat(batch, 1)
        told.diagonal().add_(batch)  # an image's own place is its view's
        similarities = self._in_chunks(compare, own.repeat_interleave(batch), told.flatten()).view(batch, batch)
        true = cosine_similarity(anchors, _vectors(truth), dim=1)
        logits = torch.cat([similarities, true.unsqueeze(1)], dim=1) / self._temperature
        positives = (similarities.diagonal() + true) / 2 / self._temperature
        return (logits.logsumexp(dim=1) - positives).mean()

    def _in_chunks(self, function: Callable[[Tensor, Tensor], Tensor], images: Tensor, told: Tensor) -> Tensor:
        """Apply `function` to pairs of image and condition; of several chunks, none holds its activations."""
        pieces = list(zip(images.split(self._chunk), told.split(self._chunk), strict=True))
        if len(pieces) == 1:
            return function(images, told)
        return torch.cat(
            [checkpoint(function, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]
        )


class StatementVerdicts:
    """What a judge found is what the tower shall read, along the frozen text tower's own statements.

    For each image and group, the loss is the cross-entropy between softmax(-r / temperature) of the teacher's
    relative losses r and the softmax of CLIP's logits over the group's statements; verdicts that abstain are left
    out. Groups that the tower teaches itself hold it to what it read at the start.
    """

    views = 0

    def __init__(self, section: Verdicts, readings: Readings) -> None:
        """Take weights, labels and temperature from `section`, and the statements' embeddings from `readings`."""
        self._section, self._readings = section, readings

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:  # noqa: ARG002 - it is not asked
        """Return the losses [S], all alike: the mean over images and groups, and the weighted one of own groups."""
        assert inputs.verdicts is not None
        statements, section = self._readings.statements, self._section
        own, losses = inputs.verdicts[:, LOGITS], inputs.verdicts[:, LOSSES]
        if section.labels == "another_image":
            losses = losses.roll(1, dims=0)
        logits = self._readings.logits(inputs.pooled, own)
        judged, kept, held = [], [], []
        for name, group in statements.groups.items():
            span = statements.spans[name]
            readings = one_hot(own[:, span].argmax(dim=1), len(group.alternatives)).to(logits.dtype)
            if group.taught == "tower":
                held.append(cross_entropy(logits[:, span], readings))
                continue
            targets, sure = readings, torch.ones_like(logits[:, 0], dtype=torch.bool)
            if section.labels != "tower":
                found = losses[:, span].to(logits.dtype)
                targets = (-relative(found) / section.temperature).softmax(dim=1)
                sure = holds(found, section.margin)
            judged.append(cross_entropy(logits[:, span], targets, reduction="none") * sure)
            kept.append(sure)
        loss = torch.stack(judged).sum() / torch.stack(kept).sum().clamp(min=1)
        if held:
            loss = loss + section.own_weight * torch.stack(held).mean()
        return loss.expand(inputs.samples)


class HeldOutside:
    """Another objective, and what holds the embeddings in all directions but some.

    To every loss it adds the weighted mean of the squared length of how far the normalised embeddings moved outside
    the span of `free`.
    """

    def __init__(
        self, objective: Objective, original: Callable[[Tensor], TowerTokens], free: Tensor, weight: float
    ) -> None:
        """Add to `objective`; `original` is frozen, and `free` [K, D] holds orthonormal directions."""
        self._objective, self._original, self._free, self._weight = objective, original, free, weight
        self.views = objective.views

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        """Return the losses [S]."""
        with torch.no_grad():
            before = self._original(inputs.pixels).pooled
        moved = normalize(inputs.pooled.to(self._free.dtype), dim=-1) - normalize(
            before.to(self._free.dtype), dim=-1
        )
        outside = moved - moved @ self._free.T @ self._free
        return self._objective(denoiser, inputs) + self._weight * outside.square().sum(dim=1).mean()


class Anchored:
    """Another objective, and what holds the embeddings near those of the original tower: 1 - cosine, weighted."""

    def __init__(self, objective: Objective, original: Callable[[Tensor], TowerTokens], weight: float) -> None:
        """Add `weight` times the mean 1 - cosine to every loss of `objective`; `original` is frozen."""
        self._objective, self._original, self._weight = objective, original, weight
        self.views = objective.views

    def __call__(self, denoiser: Denoiser, inputs: ObjectiveInputs) -> Tensor:
        """Return the losses [S]."""
        with torch.no_grad():
            wanted = self._original(inputs.pixels).pooled
        drift = 1 - cosine_similarity(inputs.pooled, wanted.to(inputs.pooled.dtype), dim=-1)
        return self._objective(denoiser, inputs) + self._weight * drift.mean()


def build_objective(section: AnyObjective, clip: Clip, device: torch.device, dtype: torch.dtype) -> Objective:
    """Build the objective of a recipe, around the tower of `clip` as it is now; a frozen copy of it has `dtype`.

    Raises:
        InputError: the list of statements cannot be read.
    """
    match section:
        case MeanSquaredError():
            return Denoising(torch.square)
        case MeanAbsoluteError():
            return Denoising(torch.abs)
        case Contrastive():
            return ContrastiveReconstruction(section)
        case Verdicts():
            readings = Readings(load_statements(section.statements), clip, device)
            objective = StatementVerdicts(section, readings)
            if not section.hold:
                return objective
            original = frozen(clip.tower, dtype, device)
            return HeldOutside(objective, original, readings.directions(), section.hold)


def frozen(tower: Tower, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], TowerTokens]:
    """Return what reads the tower's input as `tower` does now, in `dtype`."""
    copied = copy.deepcopy(tower).requires_grad_(False).eval().to(device, dtype)
    return lambda pixels: copied(pixels.to(dtype))


def _vectors(images: Tensor) -> Tensor:
    return images.flatten(1).to(torch.promote_types(images.dtype, torch.float32))
