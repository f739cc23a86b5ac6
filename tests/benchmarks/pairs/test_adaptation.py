import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch.nn.functional import cross_entropy, interpolate, mse_loss, normalize
from transformers import CLIPTextModel, CLIPTokenizer

from diva.cli import app
from diva.errors import InputError
from diva.measure import evaluate
from diva.results import Result, read_result
from diva.tasks import find_task
from diva.towers import Clip, load_clip
from diva_benchmarks.pairs.layouts import read_pairs
from diva_benchmarks.pairs.sets import SETS
from diva_benchmarks.pairs.task import PairsTask, SetSettings
from diva_benchmarks.pairs.ttm import certain
from tests.fixtures.pairs import WRITERS, write_plain

SIDE = 32  # of the tiny tower's input


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plain(tmp_path_factory.mktemp("adapted"), 3)


def adapted(tower: Path, data: Path, method: str, **settings: Any) -> Result:
    return evaluate("pairs", str(tower), data, device="cpu", batch=4, adapt=method, seeds=1, **settings)


def cosines(result: Result) -> np.ndarray:
    """Return [pairs, statements, images]."""
    names = [[f"statement{text}_image{image}" for image in (1, 2)] for text in (1, 2)]
    return np.array([[[item.details[name] for name in row] for row in names] for item in result.items])


def test_the_surest_matchings_are_taken_whichever_they_are_and_ties_never() -> None:
    logits = np.array(
        [
            [[5.0, 1], [2, 4]],  # the true matching by 6
            [[1.0, 5], [4, 3]],  # the other one by 5
            [[3.0, 2], [2, 3]],  # the true one by 2
            [[3.0, 2], [4, 3]],  # a tie
        ]
    )
    assert certain(logits, 5) == [(0, (0, 1)), (1, (1, 0))]
    assert certain(logits, 2) == [(0, (0, 1)), (1, (1, 0)), (2, (0, 1))]
    assert certain(logits, 0) == certain(logits, 2)
    # of one image and its statements, the statement that is the nearest
    assert certain(np.array([[[1.0], [4]], [[2.0], [1]], [[1.0], [1]]]), 0) == [(0, (1,)), (1, (0,))]


def test_a_round_of_matching_is_a_step_of_adamw_on_clip_s_loss_over_the_pairs_as_they_were_matched(
    tower_folder: Path, plain: Path
) -> None:
    result = adapted(tower_folder, plain, "ttm", updates=1, epochs=1, rate=1e-3, threshold=0.0)
    clip, pairs = load_clip(str(tower_folder)), read_pairs("plain", plain).pairs
    preprocess, model = open_clip.image_transform(SIDE, is_train=False), copy.deepcopy(clip.model)
    images = torch.stack([preprocess(image.decode()) for pair in pairs for image in pair.images])
    texts = open_clip.tokenize([text for pair in pairs for text in pair.statements])

    def similarities() -> torch.Tensor:
        return normalize(model.encode_text(texts), dim=-1) @ normalize(model.encode_image(images), dim=-1).T

    blocks = [similarities()[at : at + 2, at : at + 2] for at in (0, 2, 4)]
    order = []  # of the statements: as the model itself matches them
    for at, block in zip((0, 2, 4), blocks, strict=True):
        own = block.trace() >= block.flip(0).trace()
        order += [at, at + 1] if own else [at + 1, at]
    assert all(block.trace() != block.flip(0).trace() for block in blocks)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    logits, own = model.logit_scale.exp() * similarities()[order], torch.arange(6)
    ((cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2).backward()  # CLIP's, over the whole batch
    optimiser.step()
    with torch.no_grad():
        expected = np.stack([similarities()[at : at + 2, at : at + 2].numpy() for at in (0, 2, 4)])
    np.testing.assert_allclose(cosines(result), expected, atol=2e-5)
    plainly = cosines(evaluate("pairs", str(tower_folder), plain, device="cpu"))
    assert np.abs(plainly - expected).max() > 1e-3


def test_diffusion_tta_is_a_step_of_sgd_on_diffusers_own_loss_for_each_image(
    tower_folder: Path, teacher_folder: Path, plain: Path
) -> None:
    samples, rate = 3, 0.5
    told = {"teacher": str(teacher_folder), "updates": 1, "samples": samples, "rate": rate}
    result = adapted(tower_folder, plain, "diffusion-tta", **told)
    clip, found = load_clip(str(tower_folder)), cosines(result)
    parts = {
        name: reader.from_pretrained(teacher_folder / name)
        for name, reader in (
            ("unet", UNet2DConditionModel),
            ("vae", AutoencoderKL),
            ("text_encoder", CLIPTextModel),
        )
    }
    schedule = DDPMScheduler.from_pretrained(teacher_folder / "scheduler")
    tokenizer = CLIPTokenizer.from_pretrained(teacher_folder / "tokenizer")
    length = parts["text_encoder"].config.max_position_embeddings
    side = parts["unet"].config.sample_size * 4
    preprocess = open_clip.image_transform(SIDE, is_train=False)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (clip.input.mean, clip.input.std))
    for number, pair in enumerate(read_pairs("plain", plain).pairs):
        said = list(pair.statements)
        tokens = tokenizer(said, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        with torch.no_grad():
            contexts = parts["text_encoder"](tokens.input_ids).last_hidden_state
            texts = normalize(clip.model.encode_text(open_clip.tokenize(said)), dim=-1)
        for place, image in enumerate(pair.images):
            model = copy.deepcopy(clip.model)
            pixels = preprocess(image.decode()).unsqueeze(0)
            rgb = interpolate(pixels * std + mean, (side, side), mode="bilinear", antialias=True)
            with torch.no_grad():
                latents = parts["vae"].encode(2 * rgb.clamp(0, 1) - 1).latent_dist.mean
            latents = latents * parts["vae"].config.scaling_factor
            seed = int(np.random.SeedSequence((0, number, place)).generate_state(1)[0])
            random = torch.Generator().manual_seed(seed)
            timesteps = torch.randint(1000, (samples,), generator=random)
            noise = torch.randn(samples, *latents.shape, generator=random)[:, 0]
            logits = model.logit_scale.exp().detach() * normalize(model.encode_image(pixels), dim=-1) @ texts.T
            probabilities = logits.softmax(-1)
            context = (probabilities[0, :, None, None] * contexts).sum(0).expand(samples, -1, -1)
            noisy = schedule.add_noise(latents.expand(samples, -1, -1, -1), noise, timesteps)
            mse_loss(parts["unet"](noisy, timesteps, context).sample, noise).backward()
            torch.optim.SGD(model.visual.parameters(), lr=rate, momentum=0.9).step()
            with torch.no_grad():
                expected = (normalize(model.encode_image(pixels), dim=-1) * texts).sum(-1)
            np.testing.assert_allclose(found[number, :, place], expected, atol=2e-5)
    plainly = cosines(evaluate("pairs", str(tower_folder), plain, device="cpu"))
    assert np.abs(plainly - found).max() > 1e-4


@pytest.mark.parametrize("method", ["ttm", "diffusion-tta"])
def test_the_tower_that_is_handed_in_stays_as_it_is(
    method: str, clip: Clip, teacher_folder: Path, plain: Path
) -> None:
    own = {"teacher": str(teacher_folder), "samples": 1} if method == "diffusion-tta" else {"epochs": 1}
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    asked = [parameter.requires_grad for parameter in clip.model.parameters()]
    task = find_task("pairs")
    assert isinstance(task, PairsTask)
    settings = SetSettings(adapt=method, updates=2, rate=0.1, seeds=1, **own)  # type: ignore[arg-type]
    task.measure(clip, plain, settings, device=torch.device("cpu"), batch=4)
    after = clip.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [parameter.requires_grad for parameter in clip.model.parameters()] == asked
    assert not clip.model.training
    assert all(parameter.grad is None for parameter in clip.model.parameters())


def test_draws_are_repeated_and_each_seed_is_one(tower_folder: Path, teacher_folder: Path, plain: Path) -> None:
    told = {"teacher": str(teacher_folder), "updates": 1, "samples": 2, "rate": 0.5, "adapt": "diffusion-tta"}
    first, again, two = (
        evaluate("pairs", str(tower_folder), plain, device="cpu", seeds=seeds, **told) for seeds in (1, 1, 2)
    )
    assert np.array_equal(cosines(first), cosines(again))
    assert not np.array_equal(cosines(first), cosines(two))  # the mean of two draws
    assert (first.run.seeds, two.run.seeds) == ([0], [0, 1])


def test_a_result_says_how_the_tower_adapted(tower_folder: Path, plain: Path, tmp_path: Path) -> None:
    words = ["--tower", str(tower_folder), "--data", str(plain), "--device", "cpu", "--out", str(tmp_path / "r")]
    own = ["--adapt", "ttm", "--epochs", "1", "--rate", "1e-4", "--seeds", "1"]
    app(["bench", "pairs", *words, *own], standalone_mode=False)
    settings = {"adaptation": "ttm", "updates": 10, "epochs": 1, "rate": 1e-4, "threshold": 2.0}
    assert read_result(tmp_path / "r").settings == {"protocol": "pooled"} | settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"adapt": "tta"}, "--adapt: 'tta' is unknown; did you mean"),
        ({"adapt": "ttm", "protocol": "diva-openai"}, "--adapt: reads the pooled feature, not 'diva-openai'"),
        ({"adapt": "ttm", "samples": 2}, "--samples: is not a setting of ttm"),
        ({"adapt": "ttm", "teacher": "x"}, "--teacher: ttm asks none"),
        ({"adapt": "diffusion-tta"}, "--teacher: '' is not a diffusers folder of Stable Diffusion, which"),
        ({"rate": 0.1}, "--rate: belongs to an adaptation; name one with --adapt"),
        ({"teacher": "x"}, "--teacher: belongs to an adaptation"),
        ({"adapt": "ttm", "rate": 0}, "rate: Input should be greater than 0; give another value"),
    ],
)
def test_what_an_adaptation_cannot_be_told_is_refused(
    settings: dict[str, Any], says: str, tower_folder: Path, plain: Path
) -> None:
    with pytest.raises(InputError, match=says):
        evaluate("pairs", str(tower_folder), plain, device="cpu", **settings)


@pytest.mark.parametrize("name", ["whatsup", "sugarcrepe-pp"])
def test_sets_that_the_authors_do_not_match_are_refused(name: str, tower_folder: Path, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    says = f"--adapt: ttm matches 2 statements, and {SETS[name].title} has {SETS[name].texts}"
    with pytest.raises(InputError, match=re.escape(says)):
        evaluate("pairs", str(tower_folder), tmp_path, device="cpu", set=name, adapt="ttm")
