from pathlib import Path

import pytest
import yaml

from diva.errors import InputError
from diva.recipes import load_recipe, packaged_recipes, write_recipe
from diva.towers import ZOO

BASE = "diva/openai-vit-l14-224"


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_is_valid_and_carries_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


@pytest.mark.parametrize("name", ZOO)
def test_every_published_tower_has_the_published_schedule(name: str) -> None:
    recipe = load_recipe(f"diva/{name}")
    (stage,) = recipe.stages
    assert recipe.tower.name == name
    assert (stage.steps, stage.warmup, stage.schedule, stage.clip_norm) == (4600, 0.005, "cosine", 1.0)
    assert stage.optimizer.model_dump() == {"type": "sgd", "lr": 1e-4, "momentum": 0.9, "weight_decay": 0.0}
    assert recipe.training.global_batch == 16 * 8 * 5
    assert recipe.feedback.samples_per_image == 2
    assert recipe.data.image_size == 512


@pytest.mark.parametrize("name", ZOO)
def test_as_released_maps_openai_statistics_to_imagenet_ones_before_the_vae(name: str) -> None:
    denoiser = load_recipe(f"diva/{name}-as-released").denoiser
    assert denoiser.image_scale is not None
    assert denoiser.image_shift is not None
    openai = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for channel in range(3):
        for x in (0.0, 0.3, 1.0):
            normalised = (x - openai[0][channel]) / openai[1][channel]
            seen = 2 * (normalised * imagenet[1][channel] + imagenet[0][channel]) - 1
            ours = denoiser.image_scale[channel] * x + denoiser.image_shift[channel]
            assert ours == pytest.approx(seen, abs=1e-8)


def test_a_projection_warm_up_is_two_lines() -> None:
    warm = load_recipe(f"{BASE}-warm-projection")
    assert [stage.train for stage in warm.stages] == [("projection",), ("tower", "projection")]
    path = packaged_recipes()[f"{BASE}-warm-projection"]
    assert len(yaml.safe_load(path.read_text())["stages"]) == 2


def test_overrides_change_fields_by_dotted_name_and_by_list_index() -> None:
    recipe = load_recipe(
        BASE, ["stages.0.steps=7", "data.source=a/{00..03}.tar", "tower.grad_checkpointing=true", "seed=3"]
    )
    assert recipe.stages[0].steps == 7
    assert recipe.data.source == "a/{00..03}.tar"
    assert recipe.tower.grad_checkpointing
    assert recipe.seed == 3


def test_naming_another_kind_of_part_starts_it_afresh(tmp_path: Path) -> None:
    assert load_recipe(BASE, ["condition.tokens={kind: all}"]).condition.tokens.kind == "all"
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {BASE}\nname: mine\ncondition: {{tokens: {{kind: windows, window: 4}}}}\n")
    recipe = load_recipe(str(path))
    assert recipe.condition.tokens.model_dump() == {"kind": "windows", "window": 4}
    assert recipe.condition.combine == "token_by_token"


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = load_recipe(f"{BASE}-as-released")
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tower.nam=x", "tower: unknown field 'nam'; did you mean 'name'?"),
        (
            "stages.0.optimizer.momentun=0.9",
            "stages.0.optimizer: unknown field 'momentun'; did you mean 'momentum'?",
        ),
        ("training.micro_batch=many", "training.micro_batch: input should be a valid integer"),
        ("training.micro_batch=0", "training.micro_batch: input should be greater than 0"),
        ("condition.tokens.kind=randm", "condition.tokens: input tag 'randm'"),
        ("condition.tokens.share=0.3", "condition.tokens: give either 'count' or 'share'"),
        ("stages.0.epochs=1", "stages.0: give exactly one of 'steps', 'epochs' and 'images'"),
        ("feedback.sample_weights=[1.0]", "feedback: 'sample_weights' needs one number for each"),
        ("stages=[]", "stages: tuple should have at least 1 item"),
        ("micro_batch", "an override is written key=value"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_the_field(override: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(BASE, [override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b\n", "a recipe is a mapping of fields"),
        ("a: [1,\n", "not a YAML file"),
        ("extends: diva/openai-vit-l14-22\n", "did you mean 'diva/openai-vit-l14-224'?"),
        ("name: x\n", "tower: field required"),
    ],
)
def test_a_broken_recipe_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean 'diva/siglip-so400m14-384'"):
        load_recipe("diva/siglip-so400m14-38")
