import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from rich.console import Console

from diva.errors import Damaged, Invalid, Occupied, Unwritable
from diva.miniworld.base import SHIPPED
from diva.recipes import load_recipe
from diva_benchmarks.miniworld.command import study
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.measure import Measured, Sizes
from diva_benchmarks.miniworld.plan import Distillation, Plan, Setting, read_plan
from diva_benchmarks.miniworld.rows import MOVING_AVERAGE, ORIGINAL, Row, averaged, read_rows, write_rows
from diva_benchmarks.miniworld.study import run
from diva_benchmarks.miniworld.summary import TRAINED

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
    with pytest.raises(Invalid, match=r"--out.*5 --seed 5"):
        run(plan, tmp_path, tmp_path, tmp_path / "rows.jsonl", processes=1, console=Console(quiet=True))


def test_every_setting_of_the_packaged_plan_is_a_recipe_that_loads() -> None:
    plan = read_plan()
    for setting in plan.settings:
        if isinstance(setting, Setting):
            load_recipe(setting.recipe, [*plan.change, *setting.change])


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
