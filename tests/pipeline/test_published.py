"""The packaged recipes as whole runs: their commands are understood, and what they need is told."""

from pathlib import Path

import pytest

from diva.cli.run import check_words
from diva.errors import InputError
from diva.pipeline.plan import plan
from diva.pipeline.run import run
from diva.recipes import load_recipe, packaged_recipes
from diva.towers import ZOO

WHOLE = [name for name in packaged_recipes() if load_recipe(name).pipeline]
PUBLISHED = [f"diva/{name}" for name in ZOO]


@pytest.mark.parametrize("name", WHOLE)
def test_every_command_of_a_packaged_recipe_is_understood(name: str) -> None:
    for step in plan(load_recipe(name), Path("runs") / name):
        check_words(step.words)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_has_every_stage_behind_the_papers_tables(name: str) -> None:
    recipe = load_recipe(name)
    verbs = {" ".join(step.words[:2]) for step in plan(recipe, Path("runs"))}
    wanted = {"bench mmvp", "bench zero-shot", "seg train", "seg eval", "llava swap", "llava train", "llava eval"}
    assert wanted <= verbs
    assert {"train", "export", "visualize"} <= {verb.split()[0] for verb in verbs}


@pytest.mark.parametrize("name", ZOO)
def test_a_dry_run_without_data_says_where_to_get_each_piece(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(f"diva/{name}")
    run(f"diva/{name}", [], None, dry_run=True, check=check_words)
    missing = dict(
        line.split(" is missing; where to get it: ")
        for line in capsys.readouterr().out.splitlines()
        if "is missing" in line
    )
    assert all(missing.values())
    weights = Path(str(recipe.tower.checkpoint))
    assert missing[str(weights)].startswith(f"hf download {ZOO[name].hub} {weights.name}")
    assert missing[str(weights)].endswith(f"--local-dir {weights.parent}")
    assert f"--local-dir {recipe.denoiser.path}" in missing[recipe.denoiser.path]
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
