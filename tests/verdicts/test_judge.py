"""The judge against diffusers' own UNet, VAE, scheduler and text encoder, called image by image."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import mse_loss, normalize
from torchvision.transforms.v2.functional import pil_to_tensor
from transformers import CLIPTextModel, CLIPTokenizer

from diva.denoisers.stable_diffusion import StableDiffusionDenoiser
from diva.towers import Clip, load_clip
from diva.verdicts.judge import LOGITS, LOSSES, SECOND, Judge, holds, relative
from diva.verdicts.readings import Readings
from diva.verdicts.statements import Statements
from tests.denoisers.loading import load
from tests.fixtures.images import crops
from tests.fixtures.teachers import POSITIONS

CPU = torch.device("cpu")
SAMPLES, SIDE = 3, 32
NOUNS, COLOURS, SIDES = ("cat", "dog"), ("red", "green", "blue"), ("left", "right")
GROUPS = {
    "noun": {"taught": "tower", "alternatives": NOUNS, "text": "a photo of a {noun}"},
    "colour": {"alternatives": COLOURS, "text": "a photo of a {colour} {noun}"},
    "side": {"alternatives": SIDES, "text": "a photo of a {noun} {side}", "teacher": "{side}: a {noun}"},
}
CAPTION = "a {colour} {noun} on the {side}"


def statements(caption: str | None) -> Statements:
    groups: Any = {name: dict(group) for name, group in GROUPS.items()}
    if caption:
        del groups["side"]["teacher"]
    return Statements.model_validate({"caption": caption, "groups": groups})


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.stack([pil_to_tensor(image) for image in crops(5, SIDE)]) / 255


@pytest.fixture(scope="module")
def denoiser(teacher_folder: Path) -> StableDiffusionDenoiser:
    found: StableDiffusionDenoiser = load("stable_diffusion", teacher_folder, timesteps=(300, 900))
    return found


@pytest.fixture(scope="module")
def clip(tower_folder: Path) -> Clip:
    return load_clip(str(tower_folder))


def judge(clip: Clip, denoiser: StableDiffusionDenoiser, listed: Statements, **options: Any) -> Judge:
    settings: dict[str, Any] = {"samples": SAMPLES, "checked": 0.5, "seed": 7} | options
    read = denoiser.text_reader()
    return Judge(Readings(listed, clip, CPU), denoiser, read, clip.tower, clip.input, **settings)


class Diffusers:
    """The teacher's loss on one image by its libraries alone."""

    def __init__(self, folder: Path) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        self.vae = AutoencoderKL.from_pretrained(folder, subfolder="vae")
        self.text = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")

    @torch.no_grad()
    def loss(self, image: Tensor, timesteps: Tensor, noise: Tensor, prompt: str) -> float:
        latents = self.vae.encode(2 * image[None] - 1).latent_dist.mode() * self.vae.config.scaling_factor
        ids = self.tokenizer(
            prompt, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
        )
        tokens = self.text(ids.input_ids).last_hidden_state
        total = 0.0
        for timestep, one in zip(timesteps, noise, strict=True):
            noisy = self.scheduler.add_noise(latents, one[None], timestep[None])
            total += mse_loss(self.unet(noisy, timestep, tokens).sample, one[None]).item()
        return total / len(timesteps)


def drawn(under: Judge, denoiser: StableDiffusionDenoiser, key: str, draw: int) -> tuple[Tensor, Tensor]:
    """Return the timesteps [S] and the noise [S, c, h, w] that an image is judged under."""
    generator = torch.Generator().manual_seed(under._random(key, draw).getrandbits(62))
    timesteps = denoiser.draw_timesteps(SAMPLES, generator)
    return timesteps, torch.randn(SAMPLES, *denoiser.latent_shape(SIDE), generator=generator)


def words(clip: Clip, image: Tensor, texts: list[str]) -> list[float]:
    """Return open_clip's own logits of one image over `texts`."""
    with torch.no_grad():
        told = normalize(clip.encode_text(texts), dim=-1)
        seen = clip.model.encode_image(clip.input.from_rgb(image[None]), normalize=True)
        return (clip.model.logit_scale.exp() * seen @ told.T)[0].tolist()


def largest(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


@pytest.mark.parametrize("draw", [LOSSES, SECOND])
def test_whole_captions_are_improved_one_word_after_another_by_diffusers_own_losses(
    images: Tensor, denoiser: StableDiffusionDenoiser, clip: Clip, teacher_folder: Path, draw: int
) -> None:
    listed, keys = statements(CAPTION), [f"{number}.jpg" for number in range(len(images))]
    under = judge(clip, denoiser, listed, checked=1.0)
    kept, theirs = under(images, keys), Diffusers(teacher_folder)
    for image, key, found in zip(images, keys, kept, strict=True):
        nouns = words(clip, image, [f"a photo of a {noun}" for noun in NOUNS])
        noun = NOUNS[largest(nouns)]
        colours = words(clip, image, [f"a photo of a {colour} {noun}" for colour in COLOURS])
        sides = words(clip, image, [f"a photo of a {noun} {side}" for side in SIDES])
        torch.testing.assert_close(found[LOGITS], torch.tensor([*nouns, *colours, *sides]), rtol=1e-4, atol=1e-4)
        where, seen = SIDES[largest(sides)], drawn(under, denoiser, key, draw)
        first = [theirs.loss(image, *seen, f"a {colour} {noun} on the {where}") for colour in COLOURS]
        colour = COLOURS[largest([-loss for loss in first])]
        then = [theirs.loss(image, *seen, f"a {colour} {noun} on the {side}") for side in SIDES]
        torch.testing.assert_close(found[draw, 2:], torch.tensor([*first, *then]), rtol=1e-4, atol=1e-6)
        assert not found[draw, :2].any()


def test_without_a_caption_every_statement_is_judged_by_itself(
    images: Tensor, denoiser: StableDiffusionDenoiser, clip: Clip, teacher_folder: Path
) -> None:
    keys = [f"{number}.jpg" for number in range(len(images))]
    under = judge(clip, denoiser, statements(None))
    kept, theirs = under(images, keys), Diffusers(teacher_folder)
    for image, key, found in zip(images, keys, kept, strict=True):
        noun = NOUNS[int(found[LOGITS, :2].argmax())]
        seen = drawn(under, denoiser, key, LOSSES)
        prompts = [
            *(f"a photo of a {colour} {noun}" for colour in COLOURS),
            *(f"{side}: a {noun}" for side in SIDES),
        ]
        losses = torch.tensor([theirs.loss(image, *seen, prompt) for prompt in prompts])
        torch.testing.assert_close(found[LOSSES, 2:], losses, rtol=1e-4, atol=1e-6)


def test_a_verdict_depends_on_its_image_s_name_and_the_seed_and_on_no_other_image(
    images: Tensor, denoiser: StableDiffusionDenoiser, clip: Clip
) -> None:
    listed, keys = statements(CAPTION), [f"{number}.jpg" for number in range(len(images))]
    together = judge(clip, denoiser, listed)(images, keys)
    one_by_one = judge(clip, denoiser, listed)
    for place in (4, 0, 2):
        alone = one_by_one(images[place, None], [keys[place]])[0]
        torch.testing.assert_close(alone, together[place], rtol=1e-4, atol=1e-6)
    seeded = judge(clip, denoiser, listed, seed=8)(images, keys)
    assert (seeded[:, LOSSES, 2:] != together[:, LOSSES, 2:]).any(dim=1).all()


def test_a_share_of_the_images_is_judged_again_under_other_noise(
    images: Tensor, denoiser: StableDiffusionDenoiser, clip: Clip
) -> None:
    keys = [f"{number}.jpg" for number in range(40)]
    many = images.repeat(8, 1, 1, 1)
    kept = judge(clip, denoiser, statements(CAPTION), samples=1)(many, keys)
    twice = kept[:, SECOND].any(dim=1)
    assert 8 < int(twice.sum()) < 32
    assert (kept[twice, SECOND, 2:] != kept[twice, LOSSES, 2:]).all()
    assert not judge(clip, denoiser, statements(CAPTION), checked=0.0)(images, keys[:5])[:, SECOND].any()


def test_a_verdict_holds_where_the_best_two_losses_are_the_margin_apart() -> None:
    losses = torch.tensor([[2.0, 1.0, 1.1], [1.0, 1.0, 9.0], [3.0, 2.0, 4.0]])
    torch.testing.assert_close(relative(losses)[0], torch.tensor([1.0, 0.0, 0.1]))
    assert holds(losses, 0.2).tolist() == [False, False, True]
    assert holds(losses, 0.0).tolist() == [True, True, True]
