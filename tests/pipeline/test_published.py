"""The packaged recipes as whole runs: their commands are understood, and what they need is told."""

from functools import cache
from pathlib import Path

import pytest

from diva.cli.run import check_words
from diva.errors import InputError
from diva.pipeline.plan import Step, plan
from diva.pipeline.run import run
from diva.recipes import Recipe, load_recipe, packaged_recipes
from diva.towers import ZOO

# `diva quickstart` has its own pipeline for the miniature; a decoder is a stage of its tower's
WHOLE = [name for name in packaged_recipes() if not name.endswith(("quickstart", "-decoder"))]


@cache
def load(name: str) -> Recipe:
    return load_recipe(name)


def steps(name: str) -> list[Step]:
    return plan(load(name), Path("runs") / name)


def trained_by(step: Step, name: str) -> Recipe:
    """Return what a step of the recipe `name` gives to `diva train`: a packaged recipe or its own, overridden."""
    overrides = [word for word in step.words if "=" in word]
    return load_recipe(step.words[1] if step.words[1] in packaged_recipes() else name, overrides)


@pytest.mark.parametrize("name", WHOLE)
def test_every_command_of_a_packaged_recipe_is_understood(name: str) -> None:
    for step in steps(name):
        check_words(step.words)


@pytest.mark.parametrize("name", WHOLE)
def test_a_packaged_recipe_has_every_stage_behind_the_papers_tables(name: str) -> None:
    verbs = {" ".join(step.words[:2]) for step in steps(name)}
    wanted = {"bench mmvp", "bench zero-shot", "seg train", "seg eval", "llava swap", "llava train", "llava eval"}
    assert wanted <= verbs
    assert {"train", "export", "visualize"} <= {verb.split()[0] for verb in verbs}


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_a_stage_reads_an_earlier_one_makes_or_the_recipe_names_as_its_data(name: str) -> None:
    out = Path("runs") / name
    made, folders, training = set[Path](), list[Path](), out / "training.yaml"
    for step in steps(name):
        assert set(step.needs) <= made
        read = [word.rpartition("=")[2] for word in step.words]
        if step.words[0] == "train":
            recipe = trained_by(step, name)
            read += [str(recipe.tower.checkpoint), recipe.denoiser.path, recipe.data.source]
        data = {Path(place) for place in step.data.values()}
        data |= {around for place in data for around in place.parents}
        for path in (Path(each) for each in read if each.startswith(("checkpoints", "data", "runs"))):
            within = any(path.is_relative_to(folder) for folder in (*folders, step.folder))
            assert within or path in data or path == training, path
        folders.append(step.folder)
        made |= set(step.makes)


@pytest.mark.parametrize("name", WHOLE)
def test_the_train_stage_trains_the_recipe_itself(name: str) -> None:
    (step,) = [step for step in steps(name) if step.stage == "train"]
    assert step.words[:2] == ("train", f"runs/{name}/training.yaml")
    given = trained_by(step, name)
    # all but the denoiser's place, which an earlier stage may have made
    assert given.model_dump(exclude={"denoiser": {"path"}}) == load(name).model_dump(exclude={"denoiser": {"path"}})
    assert step.makes == (step.folder / "tower" / "open_clip_model.safetensors",)


@pytest.mark.parametrize("tower", ZOO)
def test_un2clip_first_trains_a_decoder_of_the_same_tower(tower: str) -> None:
    name = f"un2clip/{tower}"
    decoder, train = steps(name)[:2]
    assert (decoder.words[1], train.stage) == (f"un2clip/{tower}-decoder", "train")
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
    assert recipe.pipeline is not None
    teacher = recipe.pipeline.data["teacher"].path
    assert missing[str(teacher)].startswith("hf download ")
    assert missing[str(teacher)].endswith(f"--local-dir {teacher}")
    assert f"{recipe.data.source} (332 files, the first data/cc3m/00000.tar)" in missing
    assert {"data/MMVP_VLM", "data/zero_shot"} <= missing.keys()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bnech", "mmvp"], "no such verb 'bnech'; did you mean 'bench'"),
        (["bench"], "'bench': a verb is missing; valid: "),
        (["bench", "mmvp", "--towr", "x"], "'mmvp': No such option: --towr"),
        (["train"], "'train': Missing parameter: recipe"),
    ],
)
def test_a_command_that_would_not_be_understood_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_words(words)
