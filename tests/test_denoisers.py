from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.denoisers import StableDiffusionDenoiser
from diva.errors import InputError
from diva.recipes.schema import StableDiffusion
from tests.fixtures.teachers import POSITIONS, WIDTH, tiny_stable_diffusion


def load(folder: Path, **options: object) -> StableDiffusionDenoiser:
    section = StableDiffusion.model_validate({"path": str(folder), **options})
    return StableDiffusionDenoiser(section, dtype=torch.float32, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def v_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("v"), prediction_type="v_prediction")


def alphas() -> torch.Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


def test_the_prompt_is_embedded_as_in_diffusers_own_pipeline(teacher_folder: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(teacher_folder, safety_checker=None, feature_extractor=None)
    for prompt in ("", "a photo of a ."):
        theirs, _ = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
        ours = load(teacher_folder).encode_prompt(prompt)
        assert ours.shape == (1, POSITIONS, WIDTH)
        torch.testing.assert_close(ours, theirs)


def test_latents_are_the_scaled_posterior_mean_of_pixels_in_minus_one_to_one(teacher_folder: Path) -> None:
    denoiser = load(teacher_folder)
    rgb = torch.rand(2, 3, 16, 16)
    mean, _ = denoiser.vae._encode(2 * rgb - 1).chunk(2, dim=1)
    torch.testing.assert_close(denoiser.encode(rgb), 0.6 * mean)
    squeezed = load(teacher_folder, image_scale=[1.0, 1.5, 2.0], image_shift=[0.0, -0.5, -1.0])
    mean, _ = denoiser.vae._encode(torch.stack([rgb[:, 0], 1.5 * rgb[:, 1] - 0.5, 2 * rgb[:, 2] - 1], 1)).chunk(
        2, 1
    )
    torch.testing.assert_close(squeezed.encode(rgb), 0.6 * mean)


@settings(max_examples=25, deadline=None)
@given(t=st.integers(0, 999), seed=st.integers(0, 1000))
def test_noise_and_targets_follow_the_closed_form(teacher_folder: Path, v_teacher: Path, t: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    latents, noise = torch.randn(2, 1, 4, 4, 4, generator=generator, dtype=torch.float64)
    a, timesteps = alphas()[t], torch.tensor([t])
    for folder in (teacher_folder, v_teacher):
        denoiser = load_once(folder)
        noisy = denoiser.add_noise(latents, noise, timesteps)
        torch.testing.assert_close(noisy, a.sqrt() * latents + (1 - a).sqrt() * noise, rtol=1e-5, atol=1e-5)
    assert torch.equal(load_once(teacher_folder).target(latents, noise, timesteps), noise)
    velocity = load_once(v_teacher).target(latents, noise, timesteps)
    torch.testing.assert_close(velocity, a.sqrt() * noise - (1 - a).sqrt() * latents, rtol=1e-5, atol=1e-5)
    # a sampler that is told this velocity finds the clean latents again
    scheduler = DDIMScheduler.from_pretrained(v_teacher, subfolder="scheduler", clip_sample=False)
    scheduler.set_timesteps(1000)
    found = scheduler.step(velocity, t, noisy).pred_original_sample
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)


_LOADED: dict[Path, StableDiffusionDenoiser] = {}


def load_once(folder: Path) -> StableDiffusionDenoiser:
    if folder not in _LOADED:
        _LOADED[folder] = load(folder)
    return _LOADED[folder]


def test_the_prediction_is_the_folder_s_unet(teacher_folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(teacher_folder, subfolder="unet")
    noisy, context = torch.randn(2, 4, 8, 8), torch.randn(2, 5, WIDTH)
    timesteps = torch.tensor([0, 999])
    with torch.no_grad():
        torch.testing.assert_close(
            load(teacher_folder)(noisy, timesteps, context), unet(noisy, timesteps, context).sample
        )


def test_parts_of_two_models_are_told_apart(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "mixed", text_width=32)
    with pytest.raises(InputError, match="text encoder of width 32 but a UNet that reads width 24"):
        load(folder).encode_prompt("")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "teacher", prediction_type="sample")
    with pytest.raises(InputError, match="predicts 'sample'; only epsilon and v_prediction"):
        load(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"denoiser.path: .* cannot be loaded"):
        load(folder)
