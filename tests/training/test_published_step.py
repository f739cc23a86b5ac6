"""The as-released recipe against a plain rendering of the released step, in float64."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from diva.condition import build_condition
from diva.denoisers import load_denoiser
from diva.feedback import Draws, feedback
from diva.objectives import build_objective
from diva.recipes import Recipe, load_recipe
from diva.towers import Clip, load_clip
from diva.training.student import Student
from tests.fixtures.teachers import POSITIONS
from tests.training.published import Published

MICRO_BATCHES, BATCH, SIDE = 5, 2, 48


@pytest.fixture
def recipe(teacher_folder: Path) -> Recipe:
    # the tiny towers have 16 patches and the tiny teacher 17 positions: the class token and 16 draws
    return load_recipe(
        "diva/openai-vit-l14-224-as-released",
        [f"denoiser.path={teacher_folder}", f"condition.tokens.count={POSITIONS - 1}"],
    )


@pytest.fixture
def clip(tower_folder: Path) -> Clip:
    clip = load_clip(str(tower_folder))
    clip.tower.double()
    return clip


def random_step(seed: int) -> tuple[Tensor, Draws]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(BATCH, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    timesteps = torch.randint(0, 1000, (2, BATCH), generator=generator)
    noise = torch.randn(2, BATCH, 4, SIDE // 4, SIDE // 4, generator=generator, dtype=torch.float64)
    choice = torch.randint(0, 16, (2, BATCH, POSITIONS - 1), generator=generator)
    return image, Draws(timesteps, noise, choice, torch.empty(BATCH, 0), torch.zeros(0, BATCH))


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def test_loss_and_gradients_equal_the_released_procedure(recipe: Recipe, clip: Clip) -> None:
    steps = [random_step(seed) for seed in range(MICRO_BATCHES)]

    denoiser = load_denoiser(recipe.denoiser, dtype=torch.float64, device=torch.device("cpu"))
    condition = build_condition(recipe.condition, clip.tower, denoiser).double()
    student = Student(clip.tower, condition)
    tower_input = clip.input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    weights = torch.tensor(recipe.feedback.sample_weights, dtype=torch.float64)
    losses = []
    for image, draws in steps:
        loss = feedback(
            student,
            denoiser,
            build_objective(recipe.objective, clip, torch.device("cpu"), torch.float64),
            pixels=tower_input.from_rgb(image),
            latents=denoiser.encode(image),
            draws=draws,
        )
        (loss * weights).sum().div(MICRO_BATCHES).backward()
        losses.append(loss.detach())
    ours = gradients(student)
    student.zero_grad()

    published = Published(
        visual=clip.model.visual,
        projection=condition.projection,
        unet=UNet2DConditionModel.from_pretrained(recipe.denoiser.path, subfolder="unet").double(),
        vae=AutoencoderKL.from_pretrained(recipe.denoiser.path, subfolder="vae").double(),
        text=condition.empty.tokens,
    )
    logged = published.accumulate(
        [(image, [(d.timesteps[s], d.noise[s], d.condition[s]) for s in range(2)]) for image, d in steps]
    )
    theirs = gradients(student)

    assert float(torch.stack(losses)[:, 1].mean()) == pytest.approx(logged, rel=1e-7)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert gradient.abs().max() > 0, name
        # diffusers tabulates the noise schedule in float32: that is all the difference there is
        assert (ours[name] - gradient).norm() / gradient.norm() < 2e-6, name


def test_the_two_draws_weigh_five_to_one(recipe: Recipe) -> None:
    first, second = recipe.feedback.sample_weights or ()
    training = recipe.training
    assert first / second == training.global_batch / (training.micro_batch * 8) == 5
