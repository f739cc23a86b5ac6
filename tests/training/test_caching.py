"""Training from cached latents: the same run, or a refusal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from diva.cli import app
from diva.data.cache import LatentIndex
from diva.errors import InputError
from diva.recipes import Recipe, load_recipe
from diva.training import train
from tests.training.conftest import WriteRecipe
from tests.training.test_run import metrics, weights

Tiny = Callable[..., Recipe]

# whole images: no crop is drawn, so cached and uncached runs see the same
NO_AUGMENTATION = ("data.crop_scale=[1.0,1.0]", "data.image_size=40")
STAGES = [{"steps": 6, "warmup": 0.0, "optimizer": {"type": "sgd", "lr": 1e-1}}]


@pytest.fixture
def cached(write_tiny: WriteRecipe, tmp_path: Path) -> tuple[Path, Path]:
    """Return a recipe's file and the cache that the command line wrote for it."""
    path, cache = write_tiny(stages=STAGES), tmp_path / "cache"
    done = CliRunner().invoke(app, ["data", "cache-latents", str(path), *NO_AUGMENTATION, "--out", str(cache)])
    assert done.exit_code == 0, done.output
    assert "00003.tar (4 of 4): 8 images, 0 skipped" in done.output
    return path, cache


def test_a_cached_run_equals_an_uncached_one_to_the_rounding_of_bfloat16(
    cached: tuple[Path, Path], tmp_path: Path
) -> None:
    path, cache = cached
    train(load_recipe(str(path), NO_AUGMENTATION), tmp_path / "plain")
    train(load_recipe(str(path), [*NO_AUGMENTATION, f"data.latents={cache}"]), tmp_path / "cached")
    for ours, theirs in zip(metrics(tmp_path / "cached"), metrics(tmp_path / "plain"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2**-9)
    plain, ours = weights(tmp_path / "plain"), weights(tmp_path / "cached")
    start = load_file(Path(load_recipe(str(path)).tower.name) / "open_clip_model.safetensors")
    moved = sum(float((plain[key] - start[key]).norm() ** 2) for key in start) ** 0.5
    apart = sum(float((plain[key] - ours[key]).norm() ** 2) for key in start) ** 0.5
    assert moved > 0
    assert apart < 2**-5 * moved


def test_the_index_says_what_the_cache_is(cached: tuple[Path, Path]) -> None:
    path, cache = cached
    recipe, index = load_recipe(str(path)), LatentIndex.read(cache)
    assert (index.made.image_size, index.made.crop_scale, index.made.tower_size) == (40, (1.0, 1.0), (32, 32))
    assert (index.crop_seed, index.crops, index.source) == (recipe.seed, 1, recipe.data.source)
    assert len(index.made.encoder_sha256) == 64


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("denoiser.image_scale=[1.0,1.0,1.0]", "holds latents of another VAE"),
        ("training.frozen_dtype=bfloat16", "holds latents of another VAE"),
        ("data.image_size=32", "was made with image_size 40, and the recipe has 32"),
        ("tower.input.interpolation=bilinear", "was made with interpolation bicubic, and the recipe has bilinear"),
        ("denoiser.latents=sample", "denoiser.latents 'sample' differs at every look"),
        ("objective={type: contrastive}", "the objective asks for further views of the images"),
    ],
)
def test_a_cache_that_cannot_stand_in_is_refused_before_training(
    cached: tuple[Path, Path], tmp_path: Path, override: str, says: str
) -> None:
    path, cache = cached
    with pytest.raises(InputError, match=f"^data.latents: .*{says}") as caught:
        train(load_recipe(str(path), [*NO_AUGMENTATION, f"data.latents={cache}", override]), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_latents_that_differ_at_every_look_are_not_cached(write_tiny: WriteRecipe, tmp_path: Path) -> None:
    arguments = [
        "data",
        "cache-latents",
        str(write_tiny()),
        "denoiser.latents=sample",
        "--out",
        str(tmp_path / "c"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError)
    assert "'sample' draws new latents every time" in str(done.exception)
    assert not list((tmp_path / "c").glob("*.tar"))
