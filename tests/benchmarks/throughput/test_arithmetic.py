"""The operations of a step at the true sizes, counted on the meta device, against the published arithmetic."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diva.towers import load_clip
from diva.verdicts.statements import load_statements
from diva_benchmarks.throughput.random_weights import SHAPES, build_networks

SAMPLES = 2


def count(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


@cache
def costs(tower: str, teacher: str) -> tuple[float, float, float]:
    """Return TFLOP an image: tower both ways, UNet forward and backward to its context, VAE."""
    shape = SHAPES[teacher]
    side = shape.image_size // 8
    with torch.device("meta"):
        networks = build_networks(shape)
        networks.unet.requires_grad_(False)
        clip = load_clip(tower, random_weights=True)
        pixels, rgb = torch.rand(1, 3, *clip.input.size), torch.rand(1, 3, shape.image_size, shape.image_size)
        noisy, context = torch.rand(1, 4, side, side), torch.rand(1, 77, shape.text, requires_grad=True)
        timesteps = torch.zeros(1, dtype=torch.int64)
        both_ways = count(lambda: sum(part.sum() for part in clip.tower(pixels)).backward())
        unet = count(lambda: networks.unet(noisy, timesteps, context).sample.sum().backward())
        with torch.no_grad():
            vae = count(lambda: networks.vae.encode(rgb))
    return both_ways, unet, vae


@pytest.mark.parametrize(
    ("tower", "teacher"),
    [
        ("openai-vit-l14-224", "stable-diffusion-2-1-base"),
        ("ViT-S-32", "stable-diffusion-small"),
        ("ViT-S-16", "stable-diffusion-medium"),
    ],
)
def test_the_published_schedule_costs_1_10_times_ours_and_1_42_times_with_a_cache(tower: str, teacher: str) -> None:
    both_ways, unet, vae = costs(tower, teacher)
    ours = both_ways + SAMPLES * unet + vae
    baseline = SAMPLES * both_ways + SAMPLES * unet + vae
    assert baseline / ours == pytest.approx(1.10, abs=0.005)
    assert baseline / (ours - vae) == pytest.approx(1.42, abs=0.025)


def test_an_image_of_vit_l_costs_4_9_teraflop_and_3_8_with_a_cache() -> None:
    both_ways, unet, vae = costs("openai-vit-l14-224", "stable-diffusion-2-1-base")
    assert both_ways + SAMPLES * unet + vae == pytest.approx(4.9, abs=0.05)
    assert both_ways + SAMPLES * unet == pytest.approx(3.8, abs=0.05)


def test_the_random_teacher_has_the_size_of_the_published_one() -> None:
    with torch.device("meta"):
        networks = build_networks(SHAPES["stable-diffusion-2-1-base"])
    # the parameters of stabilityai/stable-diffusion-2-1-base
    assert sum(parameter.numel() for parameter in networks.unet.parameters()) == 865_910_724
    assert sum(parameter.numel() for parameter in networks.vae.parameters()) == 83_653_863
    assert sum(parameter.numel() for parameter in networks.text_encoder.parameters()) == 340_387_840


@pytest.mark.parametrize(("side", "teraflop"), [(256, 34.5), (512, 153)])
def test_what_a_judge_of_the_general_list_costs_an_image(side: int, teraflop: float) -> None:
    """With four samples, a tenth of the images twice; the text encoder is left out."""
    statements, shape = load_statements("general"), SHAPES["stable-diffusion-2-1-base"]
    asked = sum(len(statements.groups[name].alternatives) for name in statements.judged)
    with torch.device("meta"), torch.no_grad():
        networks = build_networks(shape)
        noisy, told = torch.rand(1, 4, side // 8, side // 8), torch.rand(1, 77, shape.text)
        unet = count(lambda: networks.unet(noisy, torch.zeros(1, dtype=torch.int64), told))
        vae = count(lambda: networks.vae.encode(torch.rand(1, 3, side, side)))
    assert 1.1 * 4 * asked * unet + vae == pytest.approx(teraflop, rel=0.01)
