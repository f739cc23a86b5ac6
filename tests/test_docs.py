"""The pages against the code: commands parse, recipes and paths exist, tables and the figure are today's."""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException

from diva.cli import app
from diva.pipelines.load import load_pipeline
from diva.pipelines.plan import plan
from diva.recipes import PackagedRecipes, load_recipe
from diva.recipes.resume import FREE_ON_RESUME
from diva.towers import ZOO
from diva.training.diagnostics import Measurement
from diva_benchmarks.miniworld.gates import Gates
from diva_downstream.llava.recipe import load_llava_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
DATA, METHOD, MINIWORLD, TRAINING = (
    ROOT / "docs" / f"{name}.md" for name in ("data", "method", "miniworld", "training")
)
RESULTS = ROOT / "benchmarks" / "results" / "miniworld"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [content for page in PAGES for kind, content in BLOCK.findall(page.read_text()) if kind == language]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def code_spans(page: Path) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def command_lines() -> list[tuple[str, list[str]]]:
    """Return every command line of `diva` in a block, as shown and as the words behind the program's name."""
    found = []
    for line in "".join(blocks("bash")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] in ("diva", "torchrun", "accelerate"):
            program = 0 if words[0] == "diva" else words.index("diva.cli")
            found.append((" ".join(words), words[program + 1 :]))
    return found


def mentions() -> list[str]:
    """Return what pages and Makefile say of `diva`'s verbs: a verb, perhaps with some of its options."""
    made = re.findall(r"bin/(diva .+)", (ROOT / "Makefile").read_text())
    return made + [span for page in PAGES for span in code_spans(page) if span.startswith("diva ")]


def find_verb(words: list[str]) -> tuple[Any, list[str]]:
    """Follow `words` through the groups of the command line to a verb, and return it with the words behind."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, f"a verb is missing: {', '.join(command.commands)}"
        found = command.get_command(None, words[0])  # a task's, too
        assert found, f"no such verb: {words[0]}"
        command, words = found, words[1:]
    return command, words


def parse(words: list[str]) -> dict[str, Any]:
    """Let typer parse `words` to the parameters of their verb, without running it."""
    command, words = find_verb(words)
    return dict(command.make_context("diva", list(words)).params)


def table_rows(page: Path) -> list[list[str]]:
    lines = [line for line in prose(page).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def anchors(page: Path) -> set[str]:
    """Return the names by which links reach the headings of `page`, in the way of GitHub and its kin."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fields(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= fields(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


@pytest.mark.parametrize("words", [pytest.param(words, id=line) for line, words in command_lines()])
def test_every_command_line_parses_and_names_a_real_recipe(words: list[str]) -> None:
    parameters = parse(words)
    if "recipe" in parameters:
        load = load_llava_recipe if "llava" in words else load_recipe
        load(parameters["recipe"], parameters["overrides"] or ())


@pytest.mark.parametrize("span", mentions())
def test_every_verb_and_option_that_is_spoken_of_exists(span: str) -> None:
    command, words = find_verb(shlex.split(span)[1:])
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tran mine.yaml", "no such verb: tran"),
        ("bench mmpv", "no such verb: mmpv"),
        ("bench", "a verb is missing: throughput"),
        ("train mine.yaml --resum", "No such option: --resum"),
        ("bench mmvp --tower a --data b --seeds many", "valid integer"),
    ],
)
def test_a_wrong_command_line_in_a_page_would_be_noticed(line: str, says: str) -> None:
    with pytest.raises((AssertionError, TyperException)) as caught:
        parse(line.split())
    assert says in str(caught.value)


def test_every_recipe_and_path_in_backticks_exists() -> None:
    named = {
        span for page in PAGES for span in code_spans(page) if re.fullmatch(r"(diva|tests|docs)/[\w./-]+", span)
    }
    assert {span for span in named - PackagedRecipes().keys() if not (ROOT / span).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        if not target.startswith("https://"):
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), target


def test_every_make_target_in_a_page_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = [*blocks("bash"), *(span for page in PAGES for span in code_spans(page))]
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(said), re.MULTILINE))
    assert {"quickstart", "test", "check"} <= named <= targets


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_recipe_and_pipeline_that_a_page_shows_is_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    if "steps:\n" not in text:
        load_recipe(str(path))
    else:
        recipe = load_recipe("diva/openai-vit-l14-224")
        assert plan(recipe, load_pipeline(str(path), recipe), tmp_path)


@pytest.mark.parametrize("name", PackagedRecipes())
def test_the_tables_of_checkpoints_have_the_files_of_every_recipe(name: str) -> None:
    recipe, (method, called) = load_recipe(name), name.split("/")
    (tower,) = [row for row in table_rows(DATA) if f"{called}-".startswith(f"{row[1].strip('`')}-")]
    assert f"`{recipe.tower.checkpoint or recipe.tower.name}`" in tower[-1]
    assert recipe.tower.name not in ZOO or tower[2] == f"`{ZOO[recipe.tower.name].hub}`"
    key = tower[1].strip("`")
    kind = f"`{method}/<tower>{called.removeprefix(key)}`"
    teachers = [row[-1] for row in table_rows(DATA) if kind in row[1]] or [tower[-1]]
    places = [f"`{recipe.denoiser.path.replace(key, '<tower>')}`", f"`{recipe.denoiser.path}`"]
    assert any(place in where for where in (*teachers, tower[-1]) for place in places)


@pytest.mark.parametrize("name", ZOO)
def test_every_field_in_which_a_released_recipe_differs_is_explained(name: str) -> None:
    plain, released = (fields(load_recipe(f"diva/{name}{suffix}").model_dump()) for suffix in ("", "-as-released"))
    changed = {field for field in plain.keys() | released.keys() if plain.get(field) != released.get(field)}
    explained = {span for row in table_rows(METHOD) for span in re.findall(r"`([^`]+)`", row[2])}
    assert changed - {"name", "description"} <= explained


def test_a_resumed_run_may_change_the_fields_that_the_page_of_training_lists() -> None:
    (said,) = re.findall(r"affect speed or output:(.+?)unless", TRAINING.read_text(), re.DOTALL)
    assert set(re.findall(r"`([^`]+)`", said)) == FREE_ON_RESUME


def test_every_figure_of_the_diagnostics_is_explained() -> None:
    assert set(Measurement._fields) <= {
        span for row in table_rows(TRAINING) for span in re.findall(r"`(\w+)`", row[0])
    }


@pytest.mark.parametrize("name", ["draw_flow", "draw_quickstart"])
def test_each_figure_is_what_its_script_draws(name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.render() == script.FIGURE.read_bytes()


def test_the_study_is_shown_as_it_was_measured() -> None:
    measured = (RESULTS / "study.md").read_text().split("\n\nPair accuracy of each detail")[0]
    assert measured[measured.index("Plan ") :] in MINIWORLD.read_text()


@pytest.mark.parametrize(("column", "base"), [(0, "0"), (1, "1"), (2, "2"), (3, "3")])
def test_the_gates_are_shown_as_each_base_passed_them(column: int, base: str) -> None:
    shipped = ROOT / "diva" / "miniworld" / "bases" / "0" / "recipe.json"
    made = shipped if base == "0" else RESULTS / "bases" / f"{base}.json"
    gates = Gates.model_validate(json.loads(made.read_text())["gates"])
    shown = {row[0]: row[1:] for row in table_rows(MINIWORLD)}
    for pairs, rise in zip(gates.pairs, gates.rises, strict=True):
        assert [shown[pairs.name][column], shown[pairs.name][column + 4]] == [
            f"{pairs.value:.1f}",
            f"{rise.value:.1f}",
        ]
