from pathlib import Path

import pytest
import torch
from diffusers import DiTPipeline, DiTTransformer2DModel

from diva.denoisers import Context
from diva.errors import Mismatch, Missing
from tests.denoisers.loading import alphas, load
from tests.fixtures.teachers import tiny_dit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dit(tmp_path_factory.mktemp("dit"))


def transformer(folder: Path) -> DiTTransformer2DModel:
    return DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer").eval()


def test_a_class_s_own_embedding_gives_diffusers_own_noise_prediction(folder: Path) -> None:
    theirs = transformer(folder)
    for block in theirs.transformer_blocks:  # as the released weights have it; diffusers starts each by itself
        block.norm1.emb.load_state_dict(theirs.transformer_blocks[0].norm1.emb.state_dict())
    denoiser = load("dit", folder)
    denoiser.network.load_state_dict(theirs.state_dict(), strict=False)
    noisy, timesteps, classes = torch.randn(3, 4, 8, 8), torch.tensor([0, 500, 999]), torch.tensor([2, 9, 0])
    vector = theirs.transformer_blocks[0].norm1.emb.class_embedder.embedding_table.weight[classes]
    with torch.no_grad():
        expected = theirs(noisy, timesteps, classes).sample
        assert expected.shape == (3, 8, 8, 8)  # noise and variance
        torch.testing.assert_close(denoiser(noisy, timesteps, Context(None, vector)), expected[:, :4])


def test_an_empty_prompt_is_the_class_none_and_there_is_no_other(folder: Path) -> None:
    denoiser = load("dit", folder)
    tokens, vector = denoiser.encode_prompt("")
    table = transformer(folder).transformer_blocks[0].norm1.emb.class_embedder.embedding_table.weight
    assert tokens is None
    assert len(table) == 11
    assert torch.equal(vector, table[10:])
    assert denoiser.vector_width == 32
    with pytest.raises(Mismatch, match=r"condition.prompt: .*DiT"):
        denoiser.encode_prompt("a hat")


def test_the_schedule_is_the_folder_s_linear_one(folder: Path) -> None:
    denoiser = load("dit", folder)
    latents, noise = torch.randn(2, 1, 4, 4, 4, dtype=torch.float64)
    a, timesteps = alphas("linear")[300], torch.tensor([300])
    noisy = denoiser.add_noise(latents, noise, timesteps)
    torch.testing.assert_close(noisy, a.sqrt() * latents + (1 - a).sqrt() * noise, rtol=1e-5, atol=1e-5)
    assert torch.equal(denoiser.target(latents, noise, timesteps), noise)


def test_gradients_reach_the_vector_and_no_parameter(folder: Path) -> None:
    denoiser = load("dit", folder)
    vector = torch.randn(1, 32, requires_grad=True)
    denoiser(torch.randn(1, 4, 8, 8), torch.tensor([500]), Context(None, vector)).square().sum().backward()
    assert vector.grad is not None
    assert vector.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


def test_a_saved_dit_has_its_classes_again(folder: Path, tmp_path: Path) -> None:
    denoiser = load("dit", folder)
    denoiser.save(tmp_path / "saved")
    saved, original = DiTPipeline.from_pretrained(tmp_path / "saved"), transformer(folder)
    torch.testing.assert_close(saved.transformer.state_dict(), original.state_dict(), rtol=0, atol=0)
    denoiser.encode_prompt("")
    with torch.no_grad():  # and goes on without them
        denoiser(torch.randn(1, 4, 8, 8), torch.tensor([5]), Context(None, torch.randn(1, 32)))


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"vae.*DiT"):
        load("dit", tmp_path)
