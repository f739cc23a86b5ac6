import re
import shutil
import tarfile
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from rich.console import Console

from diva.errors import Damaged, Invalid, Missing, Occupied, Unwritable
from diva.miniworld.base import SHIPPED
from diva.miniworld.render import SIZE
from diva.miniworld.vocabulary import ATTRIBUTES
from diva.recipes import load_recipe
from diva.recipes.objectives import Verdicts
from diva.towers import load_clip
from diva.verdicts.judge import LOSSES
from diva.verdicts.readings import Readings
from diva.verdicts.statements import load_statements
from diva_benchmarks.miniworld.command import study
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.labels import Labels
from diva_benchmarks.miniworld.measure import Measured, Sizes
from diva_benchmarks.miniworld.plan import PLAN, Distillation, Plan, Setting, read_plan
from diva_benchmarks.miniworld.rows import MOVING_AVERAGE, ORIGINAL, Row, averaged, read_rows, write_rows
from diva_benchmarks.miniworld.study import _details, _statements, _write_shards, run
from diva_benchmarks.miniworld.summary import TRAINED
from diva_benchmarks.miniworld.table import summarise

SHORT = "stages=[{train: [tower, projection], steps: 2, optimizer: {type: adamw, lr: 1.0e-3}}]"
TOWER = "stages=[{train: [tower], steps: 2, optimizer: {type: adamw, lr: 1.0e-3}}]"
MEASURED = Measured(pairs={"colour": 50}, zero_shot=90, pooled_probe={}, patch_probe={}, drift=0)
QUIET = ["training.global_batch=4", "training.micro_batch=4", "diagnostics={every: 2, images: 4, samples: 1}"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(
        change=(SHORT, *QUIET),
        bases=(5,),
        seeds=(3,),
        averages=(0.5,),
        averaged=("plain",),
        images=16,
        sizes=Sizes(pairs=4, pictures=20, probed=40),
        early_steps=1,
        settings=(
            Setting(name="plain", group="g", recipe="diva/quickstart", change=("training.ema_decay=0.5",)),
            Setting(name="quarter of it", group="g", recipe="diva/quickstart", data=0.25),
            Setting(name="early", group="g", recipe="diva/quickstart", teacher="early"),
            Setting(name="other", group="g", recipe="un2clip/quickstart", change=(TOWER,), teacher="decoder"),
            Distillation(
                name="distilled", group="g", self_distillation=Schedule(steps=2, batch=4, learning_rate=1e-3)
            ),
        ),
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    shutil.copytree(SHIPPED.path, folder / "5")
    return folder


def test_a_study_keeps_every_run_and_a_second_call_repeats_none(plan: Plan, bases: Path, tmp_path: Path) -> None:
    console = Console()
    rows, work = tmp_path / "rows.jsonl", tmp_path / "work"
    run(plan, bases, work, rows, processes=1, console=console)
    found = read_rows(rows, plan)
    assert sorted((row.setting, row.weights) for row in found) == [
        ("distilled", TRAINED), ("early", TRAINED), (ORIGINAL, TRAINED), ("other", TRAINED),
        ("plain", averaged(0.5)), ("plain", MOVING_AVERAGE), ("plain", TRAINED), ("quarter of it", TRAINED),
    ]  # fmt: skip
    drifts = {(row.setting, row.weights): row.measured.drift for row in found}
    assert drifts[ORIGINAL, TRAINED] == pytest.approx(0, abs=1e-6)
    assert 0 < drifts["plain", averaged(0.5)] < drifts["plain", TRAINED]
    assert 0 < drifts["plain", MOVING_AVERAGE] < drifts["plain", TRAINED]
    runs = {row.setting: row.run for row in found}
    assert runs[ORIGINAL] is None
    assert {setting: run.images for setting, run in runs.items() if run} == dict.fromkeys(
        ("distilled", "early", "other", "plain", "quarter of it"), 8
    )
    assert all(
        run.cpu_seconds > 0 and (run.gaps is None) == (name == "distilled") for name, run in runs.items() if run
    )
    assert not list((work / "runs").iterdir())

    before = rows.stat().st_mtime_ns
    with console.capture() as said:
        run(plan, bases, work, rows, processes=1, console=console)
    assert "every run of the plan has been done" in said.get()
    assert rows.stat().st_mtime_ns == before


WITHOUT_COLOUR = {
    "caption": "a {structure} {state} {shape} {orientation} {presence} in a {place} {quantity} {position} {text}"
    " {viewpoint}",
    "groups": {"colour": None},
}
LEARN = "stages=[{train: [tower], steps: 2, optimizer: {type: adamw, lr: 1.0e-3}}]"
VERDICTS = {"recipe": "verdicts/quickstart", "change": ("objective.checked=0",)}


@pytest.fixture(scope="module")
def tournament() -> Plan:
    return Plan(
        change=(LEARN, *QUIET[:2]),
        bases=(6, 5),
        seeds=(3, 4),
        averages=(0.5,),
        averaged=("verdicts",),
        primary=("verdicts", "another image's"),
        images=16,
        sizes=Sizes(pairs=4, pictures=20, probed=40, compositions=8),
        early_steps=1,
        settings=(
            Setting(name="no colour", group="words", statements=WITHOUT_COLOUR, **VERDICTS),
            Setting(name="verdicts", group="methods", judged=0.5, **VERDICTS),
            Setting(name="labels", group="controls", teacher="labels", **VERDICTS),
            Setting(name="another image's", group="controls", recipe="verdicts/quickstart-shuffled",
                    change=VERDICTS["change"]),
        ),
    )  # fmt: skip


def test_a_plan_with_primary_settings_goes_base_by_base_on_those_that_there_are(
    tournament: Plan, bases: Path, tmp_path: Path
) -> None:
    rows, console = tmp_path / "rows.jsonl", Console(width=400)
    with console.capture() as said:
        run(tournament, bases, tmp_path / "work", rows, processes=1, console=console)
    assert re.search(r"left for later: 6 \(.*run diva miniworld pretrain --out .*6 --seed 6\)", said.get())
    found = read_rows(rows, tournament)
    order = [(row.setting, row.seed) for row in found if row.weights == TRAINED]
    assert order[0] == (ORIGINAL, None)
    assert set(order[1:5]) == {(name, seed) for name in tournament.primary for seed in (3, 4)}
    assert set(order[5:]) == {(name, seed) for name in ("no colour", "labels") for seed in (3, 4)}
    assert all(row.measured.compositions is not None for row in found)

    # the verdicts and their control share one judging, and each is charged for it
    assert len(list((tmp_path / "work" / "verdicts").iterdir())) == 2 * 3
    summary = summarise(tournament, found)
    assert summary.done == (5,)
    assert summary.pending == "Pending: 1 of the plan's 2 bases are in, and the verdict needs all."
    judged = {line.setting: line.weights for line in summary.lines if line.counts}
    assert judged == {
        "verdicts": averaged(0.5), "another image's": TRAINED, "labels": TRAINED, "no colour": TRAINED,
    }  # fmt: skip
    other = [row.model_copy(update={"base": 6}) for row in found]
    assert summarise(tournament, found + other).pending == ""
    assert summarise(tournament, found + other[:-3]).pending == ""  # the primary ones come first
    assert summarise(tournament, found + other[:3]).done == (5,)


def test_the_labels_say_what_the_captions_in_the_shards_say(tournament: Plan, tmp_path: Path) -> None:
    _write_shards(tournament.images, 3, tmp_path / "shards")
    statements, clip = load_statements("miniature"), load_clip(str(SHIPPED.clip))
    readings = Readings(statements, clip, torch.device("cpu"))
    look = Labels(_details(tournament, 3), readings, None, None, clip.tower, clip.input, samples=1)
    for shard in sorted((tmp_path / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            texts = {
                f"{shard.name}/{Path(one.name).stem}.jpg": tar.extractfile(one).read().decode()
                for one in tar
                if one.name.endswith(".txt")
            }
        kept = look(torch.rand(len(texts), 3, SIZE, SIZE), list(texts))
        for name in statements.judged:
            words, losses = statements.groups[name].alternatives, kept[:, LOSSES, statements.spans[name]]
            for caption, row in zip(texts.values(), losses, strict=True):
                assert [loss == 1 for loss in row] == [alternative in caption for alternative in words], name


def test_a_broken_row_is_named(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{")
    with pytest.raises(Damaged, match=r"rows\.jsonl: .*1"):
        read_rows(tmp_path / "rows.jsonl", plan)


def test_a_setting_may_be_added_but_not_changed(plan: Plan, tmp_path: Path) -> None:
    plain, quarter = plan.settings[:2]
    row = Row(terms=plan.terms("plain"), base_sha256="0", setting="plain", base=5, seed=3, measured=MEASURED)
    write_rows([row], tmp_path / "rows.jsonl")
    more = plan.model_copy(update={"settings": (quarter, plain), "bases": (5, 6), "seeds": (3, 4)})
    assert read_rows(tmp_path / "rows.jsonl", more) == [row]
    for change in (
        {"settings": (plain.model_copy(update={"change": (TOWER,)}),)},
        {"settings": (quarter,)},
        {"averaged": ()},
        {"sizes": Sizes(pairs=5, pictures=20, probed=40)},
    ):
        with pytest.raises(Occupied, match=r"rows\.jsonl: .*1"):
            read_rows(tmp_path / "rows.jsonl", plan.model_copy(update=change))


def test_rows_of_another_base_are_refused(plan: Plan, bases: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = Row(terms=plan.terms("plain"), base_sha256="0", setting="plain", base=5, seed=3, measured=MEASURED)
    write_rows([row], rows)
    with pytest.raises(Occupied, match="5"):
        run(plan, bases, tmp_path / "work", rows, processes=1, console=Console(quiet=True))


def test_a_missing_base_is_named_with_the_command_that_makes_it(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"--out.*5 --seed 5"):
        run(plan, tmp_path, tmp_path, tmp_path / "rows.jsonl", processes=1, console=Console(quiet=True))


@pytest.mark.parametrize("name", ["plan", "tournament"])
def test_every_setting_of_the_plan_is_a_recipe_that_loads_with_its_statements(name: str, tmp_path: Path) -> None:
    plan = read_plan(PLAN.with_name(f"{name}.yaml"))
    whole = {attribute.name for attribute in ATTRIBUTES}
    for setting in plan.settings:
        if not isinstance(setting, Setting):
            continue
        recipe = load_recipe(setting.recipe, [*_statements(setting, tmp_path), *plan.change, *setting.change])
        if isinstance(recipe.objective, Verdicts):
            judged = set(load_statements(recipe.objective.statements).judged)
            missing = {setting.name.removeprefix("without ")} if setting.name.startswith("without") else set()
            assert judged == whole - missing


def test_a_setting_that_is_judged_by_what_is_not_measured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        PLAN.with_name("tournament.yaml").read_text().replace("averages: [0.5, 0.75]", "averages: [0.5]")
    )
    with pytest.raises(Invalid, match=r"plan\.yaml: "):
        read_plan(path)


def test_a_plan_with_two_settings_of_one_name_is_refused(tmp_path: Path) -> None:
    text = Path(str(files("diva_benchmarks.miniworld")), "plan.yaml").read_text()
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace("name: 4 noise samples", "name: 1 noise sample"))
    with pytest.raises(Invalid, match=r"plan\.yaml: is not (a plan of the study|YAML)"):
        read_plan(path)


def test_a_place_for_a_table_that_is_taken_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "study.md").mkdir()
    with pytest.raises(Unwritable, match=r"study\.md:"):
        study(tmp_path / "no bases", tmp_path / "work", tmp_path, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["study.md"]
