"""Every objective against the formula of its paper, written out image by image in float64."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diva.denoisers import Context, Denoiser
from diva.errors import Invalid
from diva.objectives import Anchored, Objective, ObjectiveInputs, build_objective
from diva.recipes.objectives import AnyObjective, Contrastive, MeanAbsoluteError, MeanSquaredError
from diva.towers import TowerTokens
from tests.fixtures.denoisers import CHANNELS, SmallDenoiser

SAMPLES, BATCH, SIDE, WIDTH = 2, 4, 3, 5
TEMPERATURE = 0.1


def build(section: AnyObjective) -> Objective:
    """Build an objective that looks at no tower of its own."""
    clip: Any = None
    return build_objective(section, clip, torch.device("cpu"), torch.float64)


def teacher() -> SmallDenoiser:
    return SmallDenoiser(Context(torch.zeros(1, 2, WIDTH, dtype=torch.float64), None))


def inputs(seed: int = 0, batch: int = BATCH) -> ObjectiveInputs:
    """Random inputs in float64, whose contexts and embeddings ask for gradients."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    latents, noise = normal(2, SAMPLES * batch, CHANNELS, SIDE, SIDE)
    timesteps = torch.rand(SAMPLES * batch, generator=generator, dtype=torch.float64)
    own, view = (Context(normal(SAMPLES * batch, 2, WIDTH).requires_grad_(), None) for _ in range(2))
    noisy = teacher().add_noise(latents, noise, timesteps)
    pooled = normal(batch, WIDTH).requires_grad_()
    pixels = normal(batch, 3, 8, 8)
    return ObjectiveInputs(SAMPLES, pixels, pooled, latents, noise, noisy, timesteps, own, (view,))


def denoising(error: Callable[[float], float], seen: ObjectiveInputs, denoiser: Denoiser) -> list[Tensor]:
    losses = []
    for sample in range(SAMPLES):
        total = torch.zeros((), dtype=torch.float64)
        for image in range(sample * BATCH, (sample + 1) * BATCH):
            one = slice(image, image + 1)
            predicted = denoiser(seen.noisy[one], seen.timesteps[one], Context(seen.context.tokens[one], None))
            total = total + sum(
                error(p - n) for p, n in zip(predicted.flatten(), seen.noise[one].flatten(), strict=True)
            )
        losses.append(total / seen.noise[0].numel() / BATCH)
    return losses


def contrastive(truths: Tensor, seen: ObjectiveInputs, denoiser: Denoiser, batch: int = BATCH) -> list[Tensor]:
    """DCR's loss of each noise sample: exponentials, sums and logarithms, one image after another."""

    def predict(noisy: int, tokens: Tensor) -> Tensor:
        one = slice(noisy, noisy + 1)
        return denoiser(seen.noisy[one], seen.timesteps[one], Context(tokens, None)).flatten()

    def score(a: Tensor, b: Tensor) -> Tensor:
        cosine = (a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt()
        return torch.exp(cosine / TEMPERATURE)

    losses = []
    for first in range(0, SAMPLES * batch, batch):
        images = range(first, first + batch)
        total = torch.zeros((), dtype=torch.float64)
        for i in images:
            anchor = predict(i, seen.context.tokens[i : i + 1])
            augmented = score(anchor, predict(i, seen.views[0].tokens[i : i + 1]))
            true = score(anchor, truths[i].flatten())
            others = [score(anchor, predict(i, seen.context.tokens[j : j + 1])) for j in images if j != i]
            below = augmented + true + sum(others)
            total = total - (torch.log(augmented / below) + torch.log(true / below)) / 2
        losses.append(total / batch)
    return losses


def velocity(seen: ObjectiveInputs) -> Tensor:
    angle = seen.timesteps.view(-1, 1, 1, 1) * math.pi / 2
    return angle.cos() * seen.noise - angle.sin() * seen.latents


REFERENCES: dict[str, tuple[AnyObjective, Callable[[ObjectiveInputs, Denoiser], list[Tensor]]]] = {
    "mse": (MeanSquaredError(), lambda seen, d: denoising(lambda e: e * e, seen, d)),
    "l1": (MeanAbsoluteError(), lambda seen, d: denoising(abs, seen, d)),
    "contrastive": (Contrastive(), lambda seen, d: contrastive(seen.noise, seen, d)),
    "contrastive, released": (
        Contrastive(ground_truth="velocity"),
        lambda seen, d: contrastive(velocity(seen), seen, d),
    ),
}


@pytest.mark.parametrize(("section", "reference"), REFERENCES.values(), ids=REFERENCES.keys())
def test_values_and_gradients_are_those_of_the_formula(
    section: AnyObjective, reference: Callable[[ObjectiveInputs, Denoiser], list[Tensor]]
) -> None:
    seen, denoiser = inputs(), teacher()
    wanted = [t for t in (seen.context.tokens, seen.views[0].tokens, denoiser.network.weight) if t is not None]
    weights = torch.tensor([5.0, 1.0], dtype=torch.float64)
    theirs = torch.stack(reference(seen, denoiser))
    expected = torch.autograd.grad((theirs * weights).sum(), wanted, allow_unused=True)
    ours = build(section)(denoiser, seen)
    found = torch.autograd.grad((ours * weights).sum(), wanted, allow_unused=True)
    assert ours.shape == (SAMPLES,)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    for gradient, right in zip(found, expected, strict=True):
        assert (gradient is None) == (right is None)
        if right is not None:
            assert right.abs().max() > 0
            torch.testing.assert_close(gradient, right, rtol=1e-9, atol=1e-14)


def test_flow_matching_is_the_squared_error_on_the_velocity() -> None:
    """x_t = (1 - t) x + t n and n - x: GenHancer's loss needs nothing that `mse` does not do."""

    class Flow(SmallDenoiser):
        def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:  # noqa: ARG002
            return noise - latents

    seen, flow = inputs(), Flow(Context(torch.zeros(1, 2, WIDTH, dtype=torch.float64), None))
    predicted = flow(seen.noisy, seen.timesteps, seen.context)
    expected = (predicted - seen.noise + seen.latents).pow(2).view(SAMPLES, -1).mean(1)
    torch.testing.assert_close(build(MeanSquaredError())(flow, seen), expected)


@settings(max_examples=25)
@given(chunk=st.integers(1, 40), batch=st.integers(2, 6), seed=st.integers(0, 100))
def test_contrastive_loss_and_gradients_are_the_same_for_every_chunk(chunk: int, batch: int, seed: int) -> None:
    results = []
    for size in (chunk, 10_000):
        seen, denoiser = inputs(seed, batch), teacher()
        losses = build(Contrastive(chunk=size))(denoiser, seen)
        losses.sum().backward()
        results.append([losses, seen.context.tokens.grad, seen.views[0].tokens.grad, denoiser.network.weight.grad])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_a_chunk_bounds_how_much_is_held_for_the_backward_pass() -> None:
    held = []
    for chunk in (BATCH, 10_000):
        seen, denoiser = inputs(), teacher()
        saved: dict[int, int] = {}

        def pack(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = build(Contrastive(chunk=chunk))(denoiser, seen)
        held.append(sum(saved.values()))
        del loss
    assert held[0] < held[1] / 2


def test_contrastive_loss_is_finite_where_bfloat16_exponentials_would_overflow() -> None:
    """At temperature 0.005 a similarity of 1 is e^200, beyond float32 and bfloat16."""
    seen, denoiser = inputs(), teacher().to(torch.bfloat16)
    rounded = ObjectiveInputs(
        SAMPLES,
        *(part.detach().to(torch.bfloat16) for part in seen[1:7]),
        seen.context.map(lambda part: part.detach().to(torch.bfloat16).requires_grad_()),
        (seen.context.map(lambda part: part.detach().to(torch.bfloat16)),),  # an unchanged view: similarity 1
    )
    losses = build(Contrastive(temperature=0.005))(denoiser, rounded)
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()
    assert rounded.context.tokens.grad.isfinite().all()


def test_one_image_has_nothing_to_be_contrasted_with() -> None:
    with pytest.raises(Invalid, match=r"training\.micro_batch: 1"):
        build(Contrastive())(teacher(), inputs(batch=1))


def test_the_anchor_adds_the_weighted_cosine_drift_and_pulls_towards_the_original() -> None:
    seen, denoiser = inputs(), teacher()
    original = torch.randn(BATCH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    base = build(MeanSquaredError())
    anchored = Anchored(base, lambda _: TowerTokens(original, original[:, None]), 0.3)
    ours, plain = anchored(denoiser, seen), base(denoiser, seen)
    drift = [1 - (a @ b / a.norm() / b.norm()).item() for a, b in zip(seen.pooled.detach(), original, strict=True)]
    torch.testing.assert_close(ours - plain, torch.full((SAMPLES,), 0.3 * sum(drift) / BATCH, dtype=torch.float64))
    ours.sum().backward()
    step = seen.pooled.detach() - 0.1 * seen.pooled.grad
    cosine = torch.nn.functional.cosine_similarity
    assert (cosine(step, original) > cosine(seen.pooled.detach(), original)).all()
