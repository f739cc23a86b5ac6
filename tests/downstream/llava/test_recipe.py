"""The packaged recipes against LLaVA-1.5's published settings (its README and scripts/v1_5), and their mistakes."""

import subprocess
import sys

import pytest

from diva.errors import Invalid, Unknown
from diva_downstream.llava.recipe import load_llava_recipe, packaged_llava_recipes


@pytest.mark.parametrize("size", ["1.5-7b", "1.5-13b", "0.5b"])
def test_both_stages_have_the_published_settings(size: str) -> None:
    first, second = (load_llava_recipe(f"llava-{size}-{stage}") for stage in ("stage1", "stage2"))
    assert (first.train, first.data.template, first.training.lr, first.training.global_batch) == (
        "projector",
        "plain",
        1e-3,
        256,
    )
    assert (second.train, second.data.template, second.training.lr, second.training.global_batch) == (
        "full",
        "vicuna_v1",
        2e-5,
        128,
    )
    for recipe in (first, second):
        assert (recipe.training.epochs, recipe.training.warmup, recipe.data.max_length) == (1, 0.03, 2048)
        assert recipe.data.pad == (recipe is second)  # pretrain.sh leaves image_aspect_ratio at "square"
        assert (recipe.training.precision, recipe.training.clip_norm) == ("bf16", 1.0)
    assert second.model == f"runs/llava-{size}-stage1"  # the second stage begins where the first one ends


@pytest.mark.parametrize("size", ["1.5-7b", "1.5-13b"])
def test_adapters_have_the_published_settings(size: str) -> None:
    recipe = load_llava_recipe(f"llava-{size}-stage2-lora")
    assert (recipe.train, recipe.training.lr, recipe.training.projector_lr) == ("lora", 2e-4, 2e-5)
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout) == (128, 256, 0.05)


@pytest.mark.parametrize("name", packaged_llava_recipes())
def test_every_packaged_recipe_is_valid_and_called_as_its_file(name: str) -> None:
    assert load_llava_recipe(name).name == name


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.steps=5", "training: .*'epochs'.*'steps'"),
        ("training.learning_rate=1", "'learning_rate'"),
        ("train=projektor", "train: .*'projector'.*'full'.*'lora'.*'qlora'.*'tower'"),
        ("data.template=vicuna", "data.template:"),
        ("training.lr=0", "training.lr: .*0"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_field(override: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        load_llava_recipe("llava-1.5-7b-stage1", [override])


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(Unknown, match=r"'llava-1\.5-7b-stage2'"):
        load_llava_recipe("llava-1.5-7b-stag2")


def test_a_mistake_is_told_without_torch() -> None:
    script = (
        "import sys; from diva_downstream.llava.recipe import load_llava_recipe;"
        " load_llava_recipe('llava-0.5b-stage1');"
        " assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
