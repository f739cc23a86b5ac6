from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.denoisers import Context, load_denoiser
from diva.denoisers.stable_diffusion import StableDiffusionDenoiser
from diva.errors import Damaged, Invalid, Mismatch, Missing, Unsupported
from diva.recipes.denoisers import StableDiffusion
from tests.denoisers.loading import alphas, generators
from tests.denoisers.loading import load as load_any
from tests.fixtures.teachers import BETAS, POSITIONS, WIDTH, tiny_stable_diffusion


def load(folder: Path, **options: object) -> StableDiffusionDenoiser:
    denoiser: StableDiffusionDenoiser = load_any("stable_diffusion", folder, **options)
    return denoiser


def drawn(denoiser: StableDiffusionDenoiser, number: int) -> torch.Tensor:
    return torch.stack([denoiser.draw_posterior(16, generator) for generator in generators(number)])


@pytest.fixture(scope="module")
def v_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("v"), prediction_type="v_prediction")


def test_the_prompt_is_embedded_as_in_diffusers_own_pipeline(teacher_folder: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(teacher_folder, safety_checker=None, feature_extractor=None)
    for prompt in ("", "a photo of a ."):
        theirs, _ = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
        tokens, vector = load(teacher_folder).encode_prompt(prompt)
        assert tokens is not None
        assert vector is None
        assert tokens.shape == (1, POSITIONS, WIDTH)
        torch.testing.assert_close(tokens, theirs)


def test_latents_are_the_scaled_posterior_mean_of_pixels_in_minus_one_to_one(teacher_folder: Path) -> None:
    denoiser = load(teacher_folder)
    rgb = torch.rand(2, 3, 16, 16)
    mean, _ = denoiser.vae._encode(2 * rgb - 1).chunk(2, dim=1)
    torch.testing.assert_close(denoiser.encode(rgb, drawn(denoiser, 2)), 0.6 * mean)
    squeezed = load(teacher_folder, image_scale=[1.0, 1.5, 2.0], image_shift=[0.0, -0.5, -1.0])
    pixels = torch.stack([rgb[:, 0], 1.5 * rgb[:, 1] - 0.5, 2 * rgb[:, 2] - 1], 1)
    mean, _ = denoiser.vae._encode(pixels).chunk(2, 1)
    torch.testing.assert_close(squeezed.encode(rgb), 0.6 * mean)


def test_sampled_latents_depend_on_the_image_s_own_generator_alone(teacher_folder: Path) -> None:
    denoiser = load(teacher_folder, latents="sample")
    rgb = torch.rand(3, 3, 16, 16)
    together = denoiser.encode(rgb, drawn(denoiser, 3))
    for number, one in enumerate(drawn(denoiser, 3)):
        torch.testing.assert_close(denoiser.encode(rgb[number, None], one[None])[0], together[number])
    theirs = denoiser.vae.encode(2 * rgb - 1).latent_dist.sample(generators(3))
    torch.testing.assert_close(together, 0.6 * theirs)
    mean, log_variance = denoiser.vae._encode(2 * rgb - 1).chunk(2, dim=1)
    noise = torch.stack([torch.randn(mean.shape[1:], generator=generator) for generator in generators(3)])
    torch.testing.assert_close(together, 0.6 * (mean + (log_variance / 2).exp() * noise))


def test_sampled_latents_cannot_be_kept(teacher_folder: Path) -> None:
    with pytest.raises(Mismatch, match=r"denoiser.latents: 'sample'"):
        load(teacher_folder, latents="sample").encode(torch.rand(1, 3, 16, 16))


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


def test_timesteps_are_uniform_over_the_recipe_s_range(teacher_folder: Path) -> None:
    drawn = load(teacher_folder, timesteps=[300, 304]).draw_timesteps(4000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.int64
    assert drawn.unique().tolist() == [300, 301, 302, 303]
    # within five standard deviations of 1,000
    assert (drawn.bincount()[300:] - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5
    with pytest.raises(Invalid, match=r"denoiser.timesteps: \[0.*2000\].*0..1000"):
        load(teacher_folder, timesteps=[0, 2000])


def test_the_prediction_is_the_folder_s_unet(teacher_folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(teacher_folder, subfolder="unet")
    noisy, tokens = torch.randn(2, 4, 8, 8), torch.randn(2, 5, WIDTH)
    timesteps = torch.tensor([0, 999])
    with torch.no_grad():
        torch.testing.assert_close(
            load(teacher_folder)(noisy, timesteps, Context(tokens, None)), unet(noisy, timesteps, tokens).sample
        )


def test_a_frozen_network_passes_gradients_on_to_the_tokens_alone(teacher_folder: Path) -> None:
    denoiser = load(teacher_folder)
    tokens = torch.randn(1, 5, WIDTH, requires_grad=True)
    denoiser(torch.randn(1, 4, 8, 8), torch.tensor([500]), Context(tokens, None)).square().sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0
    assert not denoiser.training
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in denoiser.parameters())


def test_only_a_network_that_will_be_trained_is_in_float32(teacher_folder: Path) -> None:
    section = StableDiffusion(path=str(teacher_folder))
    for trained, expected in ((False, torch.bfloat16), (True, torch.float32)):
        denoiser = load_denoiser(section, dtype=torch.bfloat16, device=torch.device("cpu"), trained=trained)
        assert {parameter.dtype for parameter in denoiser.network.parameters()} == {expected}
        assert {parameter.dtype for parameter in denoiser.vae.parameters()} == {torch.bfloat16}
        assert denoiser.encode(torch.rand(1, 3, 16, 16)).dtype == torch.float32
        context = denoiser.encode_prompt("")
        assert denoiser(torch.randn(1, 4, 8, 8), torch.tensor([5]), context).dtype == torch.float32


def test_a_saved_teacher_is_diffusers_own_pipeline_with_the_changed_network(
    teacher_folder: Path, tmp_path: Path
) -> None:
    denoiser = load(teacher_folder, trained=True)
    changed = {name: value + 1 for name, value in denoiser.network.state_dict().items()}
    denoiser.network.load_state_dict(changed)
    denoiser.save(tmp_path / "saved")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(pipeline.unet.state_dict(), changed, rtol=0, atol=0)
    torch.testing.assert_close(pipeline.vae.state_dict(), denoiser.vae.state_dict(), rtol=0, atol=0)
    again = load(tmp_path / "saved")
    torch.testing.assert_close(again.network.state_dict(), changed, rtol=0, atol=0)


def test_a_saved_teacher_does_not_list_what_it_left_behind(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "with-checker")
    index = folder / "model_index.json"
    index.write_text(
        index.read_text().replace(
            '"safety_checker": [\n    null,\n    null\n  ]',
            '"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]',
        )
    )
    assert "StableDiffusionSafetyChecker" in index.read_text()
    load(folder).save(tmp_path / "saved")
    assert StableDiffusionPipeline.from_pretrained(tmp_path / "saved").safety_checker is None


def test_the_schedule_of_stable_diffusion_1_is_read_as_noise_prediction(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "teacher")
    PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1).save_pretrained(folder / "scheduler")
    denoiser = load(folder)
    latents, noise = torch.randn(2, 1, 4, 4, 4, dtype=torch.float64)
    a, timesteps = alphas()[700], torch.tensor([700])
    noisy = denoiser.add_noise(latents, noise, timesteps)
    torch.testing.assert_close(noisy, a.sqrt() * latents + (1 - a).sqrt() * noise, rtol=1e-5, atol=1e-5)
    assert torch.equal(denoiser.target(latents, noise, timesteps), noise)


def test_the_encoder_s_hash_follows_all_that_changes_latents(teacher_folder: Path, tmp_path: Path) -> None:
    hashes = {
        load(teacher_folder).encoder_sha256,
        load(teacher_folder, image_scale=[2.0, 2.0, 1.9]).encoder_sha256,
        load(tiny_stable_diffusion(tmp_path / "other", seed=1)).encoder_sha256,
    }
    assert len(hashes) == 3
    again = load(teacher_folder, timesteps=[0, 10])
    with torch.no_grad():
        for parameter in again.vae.decoder.parameters():
            parameter.add_(1)
    assert again.encoder_sha256 in hashes


def test_parts_of_two_models_are_told_apart(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "mixed", text_width=32)
    with pytest.raises(Mismatch, match=r"32.*UNet.*24"):
        load(folder).encode_prompt("")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"unet.*vae.*text_encoder.*S"):
        load(tmp_path)
    folder = tiny_stable_diffusion(tmp_path / "teacher", prediction_type="sample")
    with pytest.raises(Unsupported, match=r"'sample'.*v_prediction"):
        load(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(Damaged, match=r"denoiser.path:"):
        load(folder)
