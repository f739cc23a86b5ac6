"""The packaged recipes as whole runs: those of 0.1, with commands that are understood and data that are told."""

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import open_clip
import pytest
from accelerate.commands.config import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType

import diva_downstream
from diva.cli.run import check_words
from diva.errors import Invalid, Unknown
from diva.pipelines.load import load_pipeline
from diva.pipelines.plan import Step, plan
from diva.pipelines.process import command_line
from diva.pipelines.run import run
from diva.pipelines.schema import Pipeline
from diva.recipes import PackagedRecipes, Recipe, load_recipe
from diva.towers.zoo import PUBLISHED, ZOO
from diva_downstream.llava.recipe import load_llava_recipe

SETS = {"ade20k", "ade20k-847", "pascal-context-59", "pascal-context-459"}
OF_THE_RECIPE = {"base", "teacher", "images"}  # data that the recipe's own fields name
DOWNSTREAM = Path(diva_downstream.__path__[0])
PLANS = json.loads((Path(__file__).parents[1] / "fixtures" / "plans_of_0_1.json").read_text())
# the miniature has a pipeline of its own; a decoder is a step of its tower's
WHOLE = [
    name
    for name in PackagedRecipes()
    if "/quickstart" not in name
    and not name.endswith("-decoder")
    # of towers that no paper has, those of the methods alone
    and (name.split("/")[1] in ZOO or name.split("/")[1].startswith(tuple(PUBLISHED)))
]
IN_TRANSFORMERS = [name for name in WHOLE if "/pe-core" not in name and "/eva02" not in name]


@cache
def load(name: str) -> Recipe:
    return load_recipe(name)


@cache
def pipeline(name: str, *overrides: str) -> Pipeline:
    return load_pipeline(None, load(name), overrides)


@cache
def steps(name: str, *overrides: str) -> list[Step]:
    return plan(load(name), pipeline(name, *overrides), Path("runs") / name)


def trained_by(step: Step, name: str) -> Recipe:
    """Return what a step of the recipe `name` gives to `diva train`: a packaged recipe or its own, overridden."""
    overrides = [word for word in step.words if "=" in word]
    if "--tower" in step.words:
        return load_recipe(step.words[1], overrides, step.words[step.words.index("--tower") + 1])
    return load_recipe(name, overrides)


def meaning(words: Sequence[str] | str) -> set[str]:
    """Return the arguments and the options of a command line, whatever their order."""
    text = words if isinstance(words, str) else " ".join(words)
    text = text.replace("train un2clip/TOWER-decoder", "train un2clip/decoder --tower TOWER")  # the same recipe
    if "--out RUN/zero-shot/zero_shot.json" in text:
        text = text.replace(" --cache RUN/zero-shot/cache", "")  # the default
    return set(re.split(r" +(?=--)| +(?=[\w.]+=)", text))


@pytest.mark.parametrize("number", range(len(PLANS)))
def test_every_recipe_s_steps_are_those_that_0_1_planned(number: int) -> None:
    """The file has for each group of recipes its steps, those apart that are as in the first group."""
    group = PLANS[number]
    for name in group["recipes"] if group["order"] else ():
        recipe = load(name)
        found = plan(recipe, pipeline(name), Path("RUN"))
        assert [step.name for step in found] == group["order"]
        for step in found:
            launcher, words, makes, after, data = group["steps"].get(step.name) or PLANS[0]["steps"][step.name]

            def general(words: Sequence[str], recipe: Recipe = recipe) -> str:
                text = " ".join(words).replace(str(recipe.tower.checkpoint), "CHECKPOINT")
                return text.replace(recipe.tower.name, "TOWER").replace(str(DOWNSTREAM), "PACKAGE")

            assert meaning(general(step.words)) == meaning(words), name
            assert general(step.launcher) == launcher
            assert " ".join(map(str, step.makes)) == makes
            assert (sorted(step.after), sorted(step.data)) == (after.split(), data.split())


@pytest.mark.parametrize("name", WHOLE)
def test_every_command_of_a_packaged_recipe_is_understood(name: str) -> None:
    for step in steps(name):
        check_words(step.words)


@pytest.mark.parametrize("name", sorted(set(WHOLE) - set(IN_TRANSFORMERS)))
def test_a_tower_that_no_llava_can_read_is_measured_without_one(name: str) -> None:
    verbs = {" ".join(step.words[:2]) for step in steps(name)}
    assert {"bench mmvp", "bench zero-shot", "seg eval"} <= verbs
    assert not {verb for verb in verbs if verb.startswith("llava") or verb == "export --to"}


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_a_packaged_recipe_has_every_step_behind_the_papers_tables(name: str) -> None:
    verbs = {" ".join(step.words[:2]) for step in steps(name)}
    wanted = {"bench mmvp", "bench zero-shot", "seg eval", "llava swap", "llava train", "llava eval"}
    assert wanted <= verbs
    assert {"train", "export", "visualize"} <= {verb.split()[0] for verb in verbs}


@pytest.mark.parametrize("name", ["diva/openai-vit-l14-224", "un2clip/siglip-so400m14-224"])
def test_one_field_says_on_how_many_gpus(name: str) -> None:
    launchers = [step.launcher for step in steps(name, "pipeline.processes=3")]
    counts = [(before, word) for words in launchers for before, word in pairwise(words) if word.isdecimal()]
    assert {word for before, word in counts if before != "--shutdown-timeout"} == {"3"}
    assert {before for before, _ in counts} >= {"--nproc-per-node", "--num_processes"}


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_a_step_reads_an_earlier_one_makes_or_the_recipe_names_as_its_data(name: str) -> None:
    out = Path("runs") / name
    made, folders, training = set[Path](), list[Path](), out / "training.yaml"
    for step in steps(name):
        assert set(step.needs) <= made
        read = [word.rpartition("=")[2] for word in step.words]
        if step.words[0] == "train":
            recipe = trained_by(step, name)
            read.append(str(recipe.tower.checkpoint))
            if recipe.objective.asks_denoiser:  # else both were read by the judge, whose verdicts are read here
                read += [recipe.denoiser.path, recipe.data.source]
        data = {Path(str(place.path)) for place in step.data.values()}
        data |= {around for place in data for around in place.parents}
        for path in (Path(each) for each in read if each.startswith(("checkpoints/", "data/", "runs/"))):
            within = any(path.is_relative_to(folder) for folder in (*folders, step.folder))
            assert within or path in data or path == training, path
        folders.append(step.folder)
        made |= set(step.makes)


@pytest.mark.parametrize("name", WHOLE)
def test_san_is_trained_on_open_clip_s_own_vits_and_on_no_others(name: str) -> None:
    vision = open_clip.get_model_config(ZOO[load(name).tower.name].architecture)["vision_cfg"]
    class_token = "timm_model_name" not in vision
    trained = [step for step in steps(name) if "san" in step.words]
    assert len(trained) == (2 if class_token else 0)


@pytest.mark.parametrize("name", WHOLE)
def test_a_set_that_is_not_there_keeps_only_its_own_result_from_being_made(name: str) -> None:
    read = {
        step.words[step.words.index("--dataset") + 1]: step.data.keys() & SETS
        for step in steps(name)
        if step.family == "segmentation"
    }
    assert read == {each: {each} for each in SETS}


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_a_language_model_that_is_trained_in_full_is_sharded(name: str) -> None:
    llava = [step for step in steps(name) if step.words[:2] == ("llava", "train")]
    full = [step for step in llava if load_llava_recipe(step.words[2], step.words[3:5]).train == "full"]
    assert [step.name for step in full] == ["llava-base", "llava-trained"]
    for step in full:
        program, verb, *rest = command_line(step.launcher, step.words)
        assert (program, verb) == ("accelerate", "launch")
        launch = launch_command_parser().parse_args(rest)
        config = load_config_from_file(launch.config_file)
        assert config.distributed_type == DistributedType.FSDP
        assert (launch.module, launch.training_script) == (True, "diva.cli")
        assert tuple(launch.training_script_args) == step.words


@pytest.mark.parametrize("name", ["diva/openai-vit-l14-224", "diva/siglip-so400m14-224"])
def test_data_that_lie_elsewhere_are_looked_for_and_read_there(name: str) -> None:
    places = {data: place.path for data, place in pipeline(name).data.items() if data not in OF_THE_RECIPE}
    moved = [f"pipeline.data.{data}.path=/mnt/{path}" for data, path in places.items()]
    for step in steps(name, *moved):
        paths = [word.rpartition("=")[2] for word in step.words]
        paths += [str(place.path) for data, place in step.data.items() if data not in OF_THE_RECIPE]
        assert not [path for path in paths if path.startswith("data/")]


@pytest.mark.parametrize("name", WHOLE)
def test_the_train_step_trains_the_recipe_itself(name: str) -> None:
    (step,) = [step for step in steps(name) if step.name == "train"]
    assert step.words[:2] == ("train", f"runs/{name}/training.yaml")
    given = trained_by(step, name)
    # all but the places of the denoiser and of verdicts, which an earlier step may have made
    made = {"denoiser": {"path"}, "data": {"verdicts"}}
    assert given.model_dump(exclude=made) == load(name).model_dump(exclude=made)
    assert step.makes == (step.folder / "tower" / "open_clip_model.safetensors",)


@pytest.mark.parametrize("tower", ZOO)
def test_un2clip_first_trains_a_decoder_of_the_same_tower(tower: str) -> None:
    name = f"un2clip/{tower}"
    decoder, train = steps(name)[:2]
    assert (decoder.name, train.name) == ("decoder", "train")
    assert trained_by(decoder, name) == load_recipe(f"un2clip/{tower}-decoder")
    assert trained_by(decoder, name).tower == load(name).tower
    assert trained_by(train, name).denoiser.path == f"{decoder.folder}/denoiser"
    assert train.needs == decoder.makes


@pytest.mark.parametrize("name", WHOLE)
def test_a_dry_run_without_data_says_where_to_get_each_piece(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load(name)
    run(name, [], None, dry_run=True, check=check_words)
    missing = dict(
        line.split(" is missing; where to get it: ")
        for line in capsys.readouterr().out.splitlines()
        if "is missing" in line
    )
    assert all(missing.values())
    weights = Path(str(recipe.tower.checkpoint))
    assert missing[str(weights)].startswith(f"hf download {ZOO[recipe.tower.name].hub} {weights.name}")
    assert missing[str(weights)].endswith(f"--local-dir {weights.parent}")
    teacher = pipeline(name).data["teacher"].path
    assert missing[str(teacher)].startswith("hf download ")
    assert missing[str(teacher)].endswith(f"--local-dir {teacher}")
    assert f"{recipe.data.source} (332 files, the first data/cc3m/00000.tar)" in missing
    assert {"data/MMVP_VLM", "data/zero_shot"} <= missing.keys()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["bnech", "mmvp"], pytest.raises(Unknown, match=r"'bnech'.*'bench'")),
        (["bench"], pytest.raises(Unknown, match="bench:")),
        (["bench", "mmvp", "--towr", "x"], pytest.raises(Invalid, match=r"mmvp: .*--towr")),
        (["train"], pytest.raises(Invalid, match="train: Missing parameter")),
    ],
)
def test_a_command_that_would_not_be_understood_is_refused(
    words: list[str], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        check_words(words)
