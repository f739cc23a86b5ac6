from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from diva.denoisers import Context
from diva.errors import Missing
from tests.denoisers.loading import load
from tests.fixtures.teachers import POSITIONS, WIDTH, tiny_stable_diffusion, tiny_stable_diffusion_xl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion_xl(tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(folder)


def test_the_prompt_is_embedded_as_in_diffusers_own_pipeline(
    folder: Path, pipeline: StableDiffusionXLPipeline
) -> None:
    denoiser = load("stable_diffusion_xl", folder)
    for prompt in ("", "a photo of a ."):
        theirs = pipeline.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
        ours = denoiser.encode_prompt(prompt)
        assert ours.tokens.shape == (1, POSITIONS, WIDTH)
        assert ours.vector.shape == (1, denoiser.vector_width)
        torch.testing.assert_close(ours.tokens, theirs[0])
        torch.testing.assert_close(ours.vector, theirs[2])


def test_the_unet_is_told_what_diffusers_own_pipeline_tells_it(
    folder: Path, pipeline: StableDiffusionXLPipeline
) -> None:
    denoiser = load("stable_diffusion_xl", folder)
    told = []
    pipeline.unet.register_forward_pre_hook(
        lambda _module, arguments, options: told.append((arguments, options)), with_kwargs=True
    )
    pipeline("a hat", height=24, width=32, num_inference_steps=1, guidance_scale=0, output_type="latent")
    (noisy, timestep), options = told[0]
    context = denoiser.encode_prompt("a hat")
    added = options["added_cond_kwargs"]
    assert added["time_ids"].tolist() == [[24, 32, 0, 0, 24, 32]]
    with torch.no_grad():
        theirs = pipeline.unet(noisy, timestep, options["encoder_hidden_states"], added_cond_kwargs=added).sample
        torch.testing.assert_close(denoiser(noisy, timestep.long()[None], context), theirs)
        other = context._replace(vector=context.vector + 1)
        assert not torch.allclose(denoiser(noisy, timestep.long()[None], other), theirs)


def test_gradients_reach_tokens_and_vector(folder: Path) -> None:
    denoiser = load("stable_diffusion_xl", folder)
    context = Context(torch.randn(1, 3, WIDTH, requires_grad=True), torch.randn(1, 12, requires_grad=True))
    denoiser(torch.randn(1, 4, 8, 8), torch.tensor([500]), context).square().sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in context)


def test_a_folder_of_another_kind_is_named(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "plain")
    with pytest.raises(Missing, match=r"text_encoder_2.*tokenizer_2.*Stable Diffusion XL"):
        load("stable_diffusion_xl", folder)
