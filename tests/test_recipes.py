import ast
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

import diva.recipes
from diva.errors import InputError, Invalid, Unknown
from diva.pipelines.load import load_pipeline
from diva.recipes import PackagedRecipes, load_recipe, write_recipe
from diva.towers import ZOO

BASE = "diva/openai-vit-l14-224"
WRITTEN_OUT = Path(__file__).parent / "fixtures" / "recipes_of_0_1.json"
# fields of 0.1 that are no longer there: the hand-written float8 layers
DROPPED = {"training.frozen_linear"}
PIPELINE = "pipeline."  # what stood within 0.1's recipes; its stages are held by tests/pipelines/test_published.py


@pytest.mark.parametrize("name", PackagedRecipes())
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


LORA = {"type": "lora", "rank": 16, "alpha": 16, "dropout": 0.1, "bias": "lora_only"}


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", ["genhancer", "dcr"])
def test_genhancer_and_dcr_have_their_published_schedules_for_every_tower(method: str, name: str) -> None:
    recipe = load_recipe(f"{method}/{name}")
    first, second = recipe.stages
    assert recipe.tower.name == name
    assert recipe.tower.adapt.model_dump(exclude={"targets"}) == LORA
    assert recipe.training.global_batch == 16 * 8 * 2
    assert recipe.data.image_size == {378: 384}.get(ZOO[name].size, ZOO[name].size)  # latents of whole numbers
    assert recipe.denoiser.latents == "sample"
    assert recipe.feedback.samples_per_image == 1
    assert (first.steps, second.steps) == (100_000, {"genhancer": 10_000, "dcr": 4_600}[method])
    for stage, lr in ((first, 1e-4), (second, 1e-5)):
        optimizer = {"type": "adamw", "lr": lr, "betas": (0.9, 0.999), "weight_decay": 0.01}
        assert stage.optimizer.model_dump() == optimizer
        assert (stage.schedule, stage.clip_norm) == ("constant", 1.0)
        assert math.ceil(stage.warmup * stage.steps) == {"genhancer": 0, "dcr": 10}[method]
    assert first.train == {"genhancer": ("projection", "denoiser"), "dcr": ("projection",)}[method]
    assert second.train == ("tower",)


def test_genhancer_s_transformer_is_the_published_one() -> None:
    denoiser = load_recipe("genhancer/openai-vit-l14-224").denoiser
    made = denoiser.transformer
    assert (made.double_blocks, made.single_blocks, made.heads, made.heads * sum(made.rotary)) == (2, 4, 24, 3072)
    assert (made.token_width, made.vector_width) == (4096, 768)
    assert (denoiser.timestep_std, denoiser.guidance) == (1.0, 4.0)


@pytest.mark.parametrize("name", [name for name in ZOO if not name.startswith("dfn")])
def test_dcr_as_released_differs_in_the_ground_truth_alone(name: str) -> None:
    plain, released = (load_recipe(f"dcr/{name}{suffix}") for suffix in ("", "-as-released"))
    assert (plain.objective.ground_truth, released.objective.ground_truth) == ("target", "velocity")
    assert plain.objective.temperature == released.objective.temperature == 0.1
    same = {"name", "description", "objective"}
    assert plain.model_dump(exclude=same) == released.model_dump(exclude=same)


@pytest.mark.parametrize("name", [*ZOO, "quickstart"])
def test_un2clip_s_second_run_starts_from_what_its_first_leaves(name: str) -> None:
    decoder, tower = load_recipe(f"un2clip/{name}-decoder"), load_recipe(f"un2clip/{name}")
    assert tower.denoiser.path == f"runs/{decoder.name}/denoiser"
    assert (decoder.denoiser.fit_images is None, tower.denoiser.fit_images) == (False, None)
    assert decoder.tower == tower.tower
    assert [stage.train for stage in (*decoder.stages, *tower.stages)] == [("denoiser",), ("tower",)]


def test_no_code_outside_the_recipes_knows_a_method_by_name() -> None:
    package = Path(diva.recipes.__file__).parents[1]
    methods = {"dcr", "genhancer", "un2clip"}
    for path in package.rglob("*.py"):
        constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not methods & {word.lower() for word in constants if isinstance(word, str)}, path


def test_a_projection_warm_up_is_two_lines() -> None:
    warm = load_recipe(f"{BASE}-warm-projection")
    assert [stage.train for stage in warm.stages] == [("projection",), ("tower", "projection")]
    variant = Path(diva.recipes.__file__).parent / "variants" / "diva" / "warm-projection.yaml"
    assert yaml.safe_load(variant.read_text()).keys() == {"description", "stages"}


def test_the_ablation_of_the_teacher_changes_nothing_else() -> None:
    plain, dit = (load_recipe(f"{BASE}{suffix}").model_dump() for suffix in ("", "-dit"))
    changed = {field for field in plain if plain[field] != dit[field]}
    assert changed == {"name", "description", "condition", "denoiser"}
    assert dit["condition"] == {"type": "class_vector", "prompt": "", "weights": None}
    assert dit["denoiser"]["type"] == "dit"


def test_a_recipe_may_start_from_several_of_which_the_later_change_the_earlier(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("seed: 3\ntower: {name: my-tower}\n")
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: [{BASE}, {tmp_path / 'part.yaml'}]\nname: mine\nseed: 4\n")
    base, recipe = load_recipe(BASE), load_recipe(str(path))
    assert (recipe.seed, recipe.tower.name) == (4, "my-tower")
    assert recipe.tower.checkpoint == base.tower.checkpoint
    assert recipe.stages == base.stages


def flattened(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every field by its dotted name, as tests/fixtures/recipes_of_0_1.json names them."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from flattened(each, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), value


def test_the_composed_recipes_are_those_that_were_written_out_in_0_1_field_by_field() -> None:
    """The file has of each recipe what differs from an earlier one, which it is `like`."""
    expected: dict[str | None, dict[str, object]] = {None: {}}
    for name, each in json.loads(WRITTEN_OUT.read_text()).items():
        expected[name] = {key: value for key, value in expected[each["like"]].items() if key not in each["without"]}
        expected[name] |= each["with"]
        recipe = load_recipe(name)
        kept = {key: value for key, value in expected[name].items() if key not in DROPPED}
        own = {key: value for key, value in kept.items() if not key.startswith("pipeline")}
        found = dict(flattened(recipe.model_dump(mode="json")))
        assert found.pop("data.verdicts") is None  # which 0.1 had not
        assert found == own, name
        around = {key.removeprefix(PIPELINE): value for key, value in kept.items() if key.startswith(PIPELINE)}
        pipeline = dict(flattened(load_pipeline("paper", recipe).model_dump(mode="json")))
        for key, value in around.items():
            assert pipeline[key] == value or (pipeline[key], value) == ("docs/data.md", ""), (name, key)
    assert expected[name].keys() > DROPPED
    assert len(expected) == 1 + 61


def test_a_tower_without_a_file_is_composed_with_any_method_and_variant(tmp_path: Path) -> None:
    tower = tmp_path / "mine"
    tower.mkdir()
    ours = load_recipe("dcr/as-released", ["seed=3"], tower=str(tower))
    packaged = load_recipe("dcr/openai-vit-l14-224-as-released", ["seed=3"])
    assert (ours.name, ours.tower.name, ours.tower.checkpoint) == ("dcr/mine-as-released", str(tower), None)
    assert ours.description == "DCR as released, mine, Stable Diffusion 2.1-base"
    differ = {"name", "description", "tower"}
    assert ours.model_dump(exclude=differ) == packaged.model_dump(exclude=differ)
    assert ours.tower.adapt == packaged.tower.adapt


@pytest.mark.parametrize("name", ["diva", "diva/as-released", "un2clip/decoder"])
def test_a_tower_that_has_a_file_is_composed_as_by_its_full_name(name: str) -> None:
    method, _, variant = name.partition("/")
    full = f"{method}/siglip-so400m14-224" + (f"-{variant}" if variant else "")
    assert load_recipe(name, tower="siglip-so400m14-224") == load_recipe(full)


@pytest.mark.parametrize(
    ("name", "tower", "refused"),
    [
        ("diva", None, pytest.raises(Invalid, match=r"diva: .*diva/datacomp-vit-l14-224.*--tower")),
        ("divo", "mine", pytest.raises(Unknown, match=r"divo: .*method's variant, .*; did you mean 'diva'")),
        ("diva/as-relased", "mine", pytest.raises(Unknown, match="'diva/as-released'")),
        ("diva/openai-vit-l14-224", "mine", pytest.raises(Unknown, match=r"openai\-vit\-l14\-224:")),
    ],
)
def test_a_composition_that_there_is_not_is_refused(
    name: str, tower: str | None, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        load_recipe(name, tower=tower)


def test_overrides_change_fields_by_dotted_name_and_by_list_index() -> None:
    recipe = load_recipe(
        BASE, ["stages.0.steps=7", "data.source=a/{00..03}.tar", "training.checkpoint_activations=both", "seed=3"]
    )
    assert recipe.stages[0].steps == 7
    assert recipe.data.source == "a/{00..03}.tar"
    assert recipe.training.checkpoint_activations == "both"
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
        ("training=3", "training: give a mapping of fields"),
        ("stages.0.train=tower", "stages.0.train: give a list, such as [a, b]"),
        ("condition.tokens.kind=randm", "condition.tokens: unknown kind 'randm'; did you mean 'random'?"),
        ("stages.0.optimizer={type: adm}", "stages.0.optimizer: unknown type 'adm'; did you mean 'adamw'?"),
        ("stages.0.optimizer={lr: 1e-4}", "stages.0.optimizer: give its 'type' as well"),
        ("stages.0.optimizer.lr=-1", "stages.0.optimizer.lr: input should be greater than 0"),
        ("stages.0.optimizer={type: adamw, betas: [0.9, 1]}", "betas.1: input should be less than 1"),
        ("tower.adapt={type: lora, targets: q_proj}", "tower.adapt.targets: give a list, such as [a, b]"),
        ("condition.tokens.share=0.3", "condition.tokens: give either 'count' or 'share'"),
        ("stages.0.epochs=1", "stages.0: give exactly one of 'steps', 'epochs' and 'images'"),
        ("feedback.sample_weights=[1.0]", "feedback: 'sample_weights' needs one number for each"),
        ("stages=[]", "stages: tuple should have at least 1 item"),
        ("stages.1={steps: 3}", "the list has no such item (the first is 0); to add one, give the whole list"),
        (
            "stages=[{train: [tower]",
            "stages: is not YAML (line 1: expected ',' or '}', but got '<stream end>'); did you quote",
        ),
        ("data.crop_scale=[1, 0.9]", "data.crop_scale: give the minimum first"),
        ("seed=-1", "seed: input should be greater than or equal to 0"),
        ("denoiser={type: sdxl}", "denoiser: unknown type 'sdxl'; valid: dit, rectified_flow"),
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
        ("a: [1,\n", "mine.yaml: is not YAML ("),
        (
            "extends: diva/openai-vit-l14-22\n",
            "22: no such recipe file or packaged recipe; did you mean 'diva/openai",
        ),
        (
            "extends: [diva/quickstart, other.yaml]\n",
            "mine.yaml: extends: other.yaml: no such recipe file; give its path",
        ),
        ("extends: {diva: true}\n", "extends: give the recipe that this one changes, or a list of such names"),
        ("extends: [1]\n", "extends: give the recipe that this one changes, or a list of such names"),
        ("name: x\n", "tower: field required"),
        ("name: x\nseed: 1\nname: y\n", "mine.yaml: is not YAML (line 3: the key 'name' is given twice)"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not YAML (line 1: could not determine a constructor"),
        ("[" * 10_000, "is nested too deep, or its aliases unfold to too many values"),
    ],
)
def test_a_broken_recipe_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "a${oc.env:HOME,x}", "${oc.decode:'${oc.env:HOME}'}", "${env:HOME}"]
)
@pytest.mark.parametrize("way", ["file", "override"])
def test_no_resolver_reaches_the_environment(tmp_path: Path, text: str, way: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"extends": BASE, "name": "mine"} | ({"description": text} if way == "file" else {}))
    )
    overrides = [f'description="{text}"'] if way == "override" else []
    with pytest.raises(Invalid, match=r"mine\.yaml: description: \$\{…\}"):
        load_recipe(str(path), overrides)


@pytest.mark.parametrize("path", ["data/${HOME}/x", "data/$${seed}", "data/\\${HOME}"])
def test_a_path_is_not_expanded_from_the_environment(path: str) -> None:
    with pytest.raises(Unknown, match=r"data\.source:"):
        load_recipe(BASE, [f"data.source={path}"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("stages=&a [*a]", "stages: "),
        ("a=&a [1,2,3,4,5,6,7,8,9],&b [*a,*a,*a,*a,*a,*a,*a,*a,*a]", "a: is not YAML"),
        (f"stages={'[' * 5000}", "stages: is nested too deep"),
        (f"x=[&a {['y'] * 400}, &b [{'*a,' * 400}], &c [{'*b,' * 400}]]", "x: is nested too deep, or its aliases"),
        ("description=!!python/name:os.system", "description: is not YAML"),
        ("seed={a: 1, a: 2}", "seed: is not YAML (line 1: the key 'a' is given twice)"),
    ],
)
def test_an_override_that_would_blow_up_is_refused_by_its_name(override: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(BASE, [override])
    assert str(caught.value).startswith(says)


def test_an_override_changes_nothing_of_what_shares_an_alias_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {BASE}\nname: mine\n"
        "stages: [&a {steps: 1, optimizer: &o {type: sgd}}, {<<: *a, steps: 2}, {steps: 3, optimizer: *o}]\n"
    )
    recipe = load_recipe(str(path), ["stages.0.optimizer.lr=0.5"])
    assert [(stage.steps, stage.optimizer.lr) for stage in recipe.stages] == [(1, 0.5), (2, 1e-4), (3, 1e-4)]


@pytest.mark.parametrize("many", [17, 400])
def test_recipes_that_extend_each_other_without_end_are_refused(tmp_path: Path, many: int) -> None:
    for number in range(many):
        parents = [str(tmp_path / f"{number + 1}.yaml")] * 3  # read once each
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump({"extends": parents}))
    (tmp_path / f"{many}.yaml").write_text(f"extends: {BASE}\nname: mine\n")
    with pytest.raises(Invalid, match="16"):
        load_recipe(str(tmp_path / "0.yaml"))
    assert load_recipe(str(tmp_path / f"{many - 10}.yaml")).name == "mine"


def test_a_recipe_cut_short_anywhere_is_refused_in_one_sentence_or_still_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    write_recipe(load_recipe("diva/quickstart"), path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 40):
        path.write_bytes(whole[:end])
        with suppress(InputError):  # and nothing else
            assert load_recipe(str(path)).name == "diva/quickstart"


def test_an_unknown_recipe_names_the_nearest_one() -> None:
    with pytest.raises(Unknown, match="'diva/siglip-so400m14-384'"):
        load_recipe("diva/siglip-so400m14-38")


def test_a_recipe_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(f"extends: {second}\n")
    second.write_text(f"extends: {first}\n")
    with pytest.raises(InputError) as caught:
        load_recipe(str(first))
    assert str(caught.value).startswith(f"{second}: extends: {first}: extends this recipe in turn")


def test_two_recipes_may_both_extend_a_third(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(f"extends: {BASE}\nname: {name}\n")
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: [{tmp_path / 'a.yaml'}, {tmp_path / 'b.yaml'}]\n")
    assert load_recipe(str(path)).name == "b"


def test_the_recipe_that_a_run_of_0_1_wrote_is_still_read(tmp_path: Path) -> None:
    recipe = load_recipe(BASE)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    with (tmp_path / "recipe.yaml").open("a") as file:
        file.write("pipeline: {device: cuda, stages: {train: {command: 'train {recipe}', makes: [tower]}}}\n")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize(
    ("name", "field"),
    [("genhancer/openai-vit-l14-224", "transformer"), ("un2clip/openai-vit-l14-224-decoder", "fit_images")],
)
def test_a_denoiser_that_is_made_must_be_trained(name: str, field: str) -> None:
    tower = "stages=[{train: [tower], steps: 3}]"
    with pytest.raises(Invalid, match=rf"'denoiser.{field}'.*denoiser.{field}=null"):
        load_recipe(name, [tower])
    assert getattr(load_recipe(name, [tower, f"denoiser.{field}=null"]).denoiser, field) is None
    assert getattr(load_recipe(name, ["stages=[{train: [denoiser], steps: 3}]"]).denoiser, field) is not None
