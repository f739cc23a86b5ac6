from pathlib import Path

import pytest
import torch
from diffusers import StableUnCLIPImg2ImgPipeline

from diva.denoisers import Context
from diva.denoisers.base import ReadsImageEmbeddings
from diva.errors import Invalid, Mismatch, Missing, Unsupported
from tests.denoisers.loading import load
from tests.fixtures.teachers import EMBEDDING, POSITIONS, WIDTH, tiny_stable_diffusion, tiny_unclip

NONE = {"image_encoder": None, "feature_extractor": None}  # the pipeline wants to be told that there are none


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_unclip(tmp_path_factory.mktemp("unclip"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> StableUnCLIPImg2ImgPipeline:
    return StableUnCLIPImg2ImgPipeline.from_pretrained(folder)


@pytest.mark.parametrize("level", [0, 1, 500, 999])
def test_embeddings_are_noised_as_in_diffusers_own_pipeline(
    folder: Path, pipeline: StableUnCLIPImg2ImgPipeline, level: int
) -> None:
    denoiser = load("unclip", folder)
    embedding, noise = torch.randn(2, 3, EMBEDDING)
    ours = denoiser.noise_embedding(embedding, torch.full((3,), level), noise)
    torch.testing.assert_close(ours, pipeline.noise_image_embeddings(embedding, level, noise=noise))


def test_every_embedding_has_a_level_of_its_own(folder: Path) -> None:
    denoiser = load("unclip", folder)
    embedding, noise, levels = *torch.randn(2, 3, EMBEDDING), torch.tensor([0, 999, 40])
    together = denoiser.noise_embedding(embedding, levels, noise)
    for number in range(3):
        alone = denoiser.noise_embedding(embedding[number, None], levels[number, None], noise[number, None])
        torch.testing.assert_close(together[number], alone[0])


def test_the_prediction_is_that_of_diffusers_own_pipeline(
    folder: Path, pipeline: StableUnCLIPImg2ImgPipeline
) -> None:
    denoiser = load("unclip", folder)
    seen = []
    pipeline.unet.register_forward_hook(
        lambda _module, arguments, options, output: seen.append((arguments, options, output[0])), with_kwargs=True
    )
    embedding = torch.randn(1, EMBEDDING)
    pipeline(
        prompt="",
        image_embeds=embedding,
        height=32,
        width=32,
        num_inference_steps=1,
        guidance_scale=0,
        noise_level=7,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    )
    (noisy, timestep), _, expected = seen[0]
    noise = torch.randn(1, EMBEDDING, generator=torch.Generator().manual_seed(3))  # the first thing that it draws
    vector = denoiser.noise_embedding(embedding, torch.tensor([7]), noise)
    with torch.no_grad():
        ours = denoiser(noisy, timestep[None], denoiser.encode_prompt("")._replace(vector=vector))
    torch.testing.assert_close(ours, expected)


def test_gradients_reach_the_embedding_and_no_parameter(folder: Path) -> None:
    denoiser = load("unclip", folder)
    embedding = torch.randn(2, EMBEDDING, requires_grad=True)
    vector = denoiser.noise_embedding(embedding, torch.tensor([0, 500]), torch.randn(2, EMBEDDING))
    tokens = denoiser.encode_prompt("").tokens.expand(2, -1, -1)
    denoiser(torch.randn(2, 4, 8, 8), torch.tensor([1, 900]), Context(tokens, vector)).square().sum().backward()
    assert embedding.grad is not None
    assert (embedding.grad.abs().sum(dim=1) > 0).all()
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


def test_what_a_condition_needs_to_know_is_said(folder: Path) -> None:
    denoiser = load("unclip", folder, noise_levels=300)
    assert isinstance(denoiser, ReadsImageEmbeddings)
    assert (denoiser.embedding_width, denoiser.vector_width, denoiser.noise_levels) == (
        EMBEDDING,
        2 * EMBEDDING,
        300,
    )
    empty = denoiser.encode_prompt("")
    assert empty.tokens.shape == (1, POSITIONS, WIDTH)
    assert empty.vector.shape == (1, 2 * EMBEDDING)


def test_a_teacher_becomes_a_decoder_for_a_tower(tmp_path: Path, teacher_folder: Path) -> None:
    embeddings = 3 + 5 * torch.randn(200, 10)
    decoder, teacher = load("unclip", teacher_folder, fit_images=200), load("stable_diffusion", teacher_folder)
    assert decoder.images_to_fit == 200
    assert isinstance(decoder, ReadsImageEmbeddings)
    decoder.fit(embeddings)
    assert (decoder.images_to_fit, decoder.embedding_width, decoder.vector_width) == (0, 10, 20)
    normalised = decoder.normalizer.scale(embeddings)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(10), rtol=0, atol=1e-5)
    torch.testing.assert_close(normalised.std(0, correction=0), torch.ones(10))
    # at first it does what the teacher does, whatever the embedding; but the embedding's path can learn
    assert not any(parameter.requires_grad for parameter in decoder.parameters())
    decoder.network.requires_grad_(True)
    noisy, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([10, 800])
    tokens = teacher.encode_prompt("").tokens.expand(2, -1, -1)
    prediction = decoder(noisy, timesteps, Context(tokens, torch.randn(2, 20)))
    torch.testing.assert_close(prediction, teacher(noisy, timesteps, Context(tokens, None)))
    prediction.square().sum().backward()
    assert decoder.network.class_embedding.linear_2.weight.grad.abs().sum() > 0
    # and diffusers reads what it saves
    decoder.save(tmp_path / "decoder")
    theirs = StableUnCLIPImg2ImgPipeline.from_pretrained(tmp_path / "decoder", **NONE)
    torch.testing.assert_close(theirs.unet.state_dict(), decoder.network.state_dict(), rtol=0, atol=0)
    assert str(folder) not in (tmp_path / "decoder" / "unet" / "config.json").read_text()
    expected = theirs.noise_image_embeddings(embeddings[:2], 30, noise=embeddings[2:4])
    ours = decoder.noise_embedding(embeddings[:2], torch.tensor([30, 30]), embeddings[2:4])
    torch.testing.assert_close(ours, expected)
    again = load("unclip", tmp_path / "decoder")
    context = Context(tokens, ours)
    torch.testing.assert_close(again(noisy, timesteps, context), decoder(noisy, timesteps, context))


def test_a_decoder_becomes_one_for_another_tower(folder: Path) -> None:
    decoder, before = load("unclip", folder, fit_images=20), load("unclip", folder).network.state_dict()
    decoder.fit(torch.randn(20, 10))
    made = decoder.network.state_dict()
    assert made["class_embedding.linear_1.weight"].shape[1] == 20
    kept = {name for name in made if not name.startswith("class_embedding.")}
    torch.testing.assert_close({name: made[name] for name in kept}, {name: before[name] for name in kept})


def test_a_saved_decoder_is_diffusers_own_pipeline(folder: Path, tmp_path: Path) -> None:
    denoiser = load("unclip", folder, trained=True)
    with torch.no_grad():
        denoiser.network.class_embedding.linear_2.weight.add_(1)
    denoiser.save(tmp_path / "saved")
    theirs = StableUnCLIPImg2ImgPipeline.from_pretrained(tmp_path / "saved", **NONE)
    torch.testing.assert_close(theirs.unet.state_dict(), denoiser.network.state_dict(), rtol=0, atol=0)
    again = load("unclip", tmp_path / "saved")
    torch.testing.assert_close(again.normalizer.state_dict(), denoiser.normalizer.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(again.network.state_dict(), denoiser.network.state_dict(), rtol=0, atol=0)


def test_what_does_not_fit_is_named(tmp_path: Path, folder: Path, teacher_folder: Path) -> None:
    with pytest.raises(Missing, match=r"image_normalizer.*image_noising_scheduler.*Stable"):
        load("unclip", teacher_folder)
    with pytest.raises(Invalid, match=r"denoiser.noise_levels: 2000.*1000"):
        load("unclip", folder, noise_levels=2000)
    mixed = tiny_unclip(tmp_path / "mixed", normalizer_width=8)
    with pytest.raises(Mismatch, match=r"8.*UNet.*64"):
        load("unclip", mixed)
    plain = tiny_stable_diffusion(tmp_path / "plain")
    for part in ("image_normalizer", "image_noising_scheduler"):
        (plain / part).symlink_to(folder / part)
    with pytest.raises(Unsupported, match=r"UNet.*Stable unCLIP"):
        load("unclip", plain)
    for embeddings in (torch.randn(1, 4), torch.ones(5, 4)):
        with pytest.raises(Invalid, match=r"denoiser.fit_images: .*[15]"):
            load("unclip", teacher_folder, fit_images=5).fit(embeddings)
