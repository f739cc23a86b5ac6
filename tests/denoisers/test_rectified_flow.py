from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import kstest, norm

from diva.denoisers import Context
from diva.errors import Invalid, Mismatch, Missing
from diva.recipes.denoisers import FlowTransformer
from tests.denoisers.loading import load
from tests.fixtures.teachers import tiny_flux

SIZES = {
    "double_blocks": 1,
    "single_blocks": 2,
    "heads": 2,
    "rotary": [4, 6, 6],
    "token_width": 20,
    "vector_width": 12,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def flow(folder: Path) -> Any:
    return load("rectified_flow", folder)


@pytest.mark.parametrize("guided", [True, False])
def test_the_forward_pass_is_that_of_diffusers_own_pipeline(tmp_path: Path, guided: bool) -> None:
    folder = tiny_flux(tmp_path / "flux", guided=guided)
    textless = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    pipeline = FluxPipeline.from_pretrained(folder, **textless)
    denoiser = load("rectified_flow", folder)
    seen: list[tuple[dict[str, Any], torch.Tensor]] = []
    pipeline.transformer.register_forward_hook(
        lambda _module, _arguments, options, output: seen.append((options, output[0])), with_kwargs=True
    )
    noisy, tokens, vector = torch.randn(2, 16, 4, 6), torch.randn(2, 3, 20), torch.randn(2, 12)
    pipeline(
        prompt_embeds=tokens,
        pooled_prompt_embeds=vector,
        latents=pipeline._pack_latents(noisy, 2, 16, 4, 6),
        height=16,
        width=24,
        num_inference_steps=1,
        sigmas=[0.7],
        guidance_scale=4.0,
        output_type="latent",
    )
    options, packed = seen[0]
    assert options["timestep"].tolist() == pytest.approx([0.7, 0.7])
    expected = pipeline._unpack_latents(packed, 16, 24, 4)
    with torch.no_grad():
        ours = denoiser(noisy, options["timestep"], Context(tokens, vector))
    assert ours.shape == noisy.shape
    torch.testing.assert_close(ours, expected)


def test_a_random_transformer_has_the_recipe_s_sizes_and_diffusers_own_forward(folder: Path) -> None:
    torch.manual_seed(0)
    denoiser = load("rectified_flow", folder, transformer=SIZES)
    theirs = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=20,
        pooled_projection_dim=12,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    theirs.load_state_dict(denoiser.network.state_dict())
    noisy, tokens, vector = torch.randn(2, 16, 4, 4), torch.randn(2, 1, 20), torch.randn(2, 12)
    timesteps = torch.tensor([0.2, 0.9])
    with torch.no_grad():
        packed = theirs(
            hidden_states=FluxPipeline._pack_latents(noisy, 2, 16, 4, 4),
            timestep=timesteps,
            guidance=torch.tensor([4.0, 4.0]),
            pooled_projections=vector,
            encoder_hidden_states=tokens,
            txt_ids=torch.zeros(1, 3),
            img_ids=FluxPipeline._prepare_latent_image_ids(2, 2, 2, "cpu", torch.float32),
        ).sample
        ours = denoiser(noisy, timesteps, Context(tokens, vector))
    torch.testing.assert_close(ours, FluxPipeline._unpack_latents(packed, 16, 16, 4))
    empty = denoiser.encode_prompt("")
    assert empty.tokens.shape == (1, 1, 20)
    assert empty.vector.shape == (1, 12)


def test_the_defaults_are_the_published_sizes() -> None:
    sizes = FlowTransformer()
    assert (sizes.double_blocks, sizes.single_blocks) == (2, 4)
    assert sizes.heads * sum(sizes.rotary) == 3072
    assert (sizes.token_width, sizes.vector_width) == (4096, 768)
    with pytest.raises(ValidationError, match="multiple of 2"):
        FlowTransformer(rotary=(5, 5, 6))


@settings(max_examples=30, deadline=None)
@given(t=st.floats(0, 1), seed=st.integers(0, 1000))
def test_noise_and_target_follow_the_straight_line(flow: Any, t: float, seed: int) -> None:
    latents, noise = torch.randn(2, 1, 16, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    times = torch.tensor([t], dtype=torch.float64)
    noisy, velocity = flow.add_noise(latents, noise, times), flow.target(latents, noise, times)
    torch.testing.assert_close(noisy, (1 - t) * latents + t * noise)
    torch.testing.assert_close(noisy - t * velocity, latents)  # along the velocity lie the clean latents
    torch.testing.assert_close(noisy + (1 - t) * velocity, noise)  # and the noise


def test_times_are_logit_normal(folder: Path) -> None:
    drawn = load("rectified_flow", folder, timestep_std=0.5).draw_timesteps(4000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    assert kstest(torch.logit(drawn.double()).numpy(), norm(scale=0.5).cdf).pvalue > 0.01


def test_latents_are_shifted_and_scaled_as_flux_s_are(folder: Path) -> None:
    denoiser = load("rectified_flow", folder)
    rgb = torch.rand(2, 3, 16, 16)
    mean, _ = denoiser.vae._encode(2 * rgb - 1).chunk(2, dim=1)
    assert mean.shape == (2, 16, 4, 4)
    assert denoiser.latent_shape(16) == (16, 4, 4)
    torch.testing.assert_close(denoiser.encode(rgb), 0.3611 * (mean - 0.1159))


def test_latents_that_cannot_be_packed_are_refused(folder: Path) -> None:
    with pytest.raises(Invalid, match=r"data.image_size: 20.*5.*8"):
        load("rectified_flow", folder).latent_shape(20)


def test_gradients_reach_tokens_and_vector_and_no_parameter(folder: Path) -> None:
    denoiser = load("rectified_flow", folder)
    context = Context(torch.randn(1, 1, 20, requires_grad=True), torch.randn(1, 12, requires_grad=True))
    denoiser(torch.randn(1, 16, 4, 4), torch.tensor([0.5]), context).square().sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in context)
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


def test_a_saved_transformer_is_read_again_by_this_class_and_by_diffusers(folder: Path, tmp_path: Path) -> None:
    made = load("rectified_flow", folder, transformer=SIZES, trained=True)
    made.save(tmp_path / "saved")
    again = load("rectified_flow", tmp_path / "saved")
    context = Context(torch.randn(1, 1, 20), torch.randn(1, 12))
    noisy, times = torch.randn(1, 16, 4, 4), torch.tensor([0.5])
    with torch.no_grad():
        assert torch.equal(again(noisy, times, context), made(noisy, times, context))
    theirs = FluxTransformer2DModel.from_pretrained(tmp_path / "saved", subfolder="transformer")
    torch.testing.assert_close(theirs.state_dict(), made.network.state_dict(), rtol=0, atol=0)


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"vae.*FLUX"):
        load("rectified_flow", tmp_path)
    with pytest.raises(Missing, match=r"vae.*FLUX"):
        load("rectified_flow", tmp_path, transformer=SIZES)
    mixed = tiny_flux(tmp_path / "mixed", channels=4)
    with pytest.raises(Mismatch, match=r"16.*VAE.*64"):
        load("rectified_flow", mixed)
    with pytest.raises(Mismatch, match=r"condition.prompt:"):
        load("rectified_flow", folder).encode_prompt("a hat")
