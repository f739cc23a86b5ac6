from collections.abc import Callable
from pathlib import Path

import pytest

import diva_downstream.llava
from diva.errors import InputError
from diva.pipeline.plan import plan
from diva.pipeline.select import select
from diva.recipes import Recipe
from tests.pipeline.conftest import stage

Planned = Callable[..., Recipe]
OUT = Path("runs/x")


def test_names_in_braces_become_folders_data_and_settings(planned: Planned) -> None:
    recipe = planned(
        {
            "train": stage("train {recipe} --out {out}", "tower/weights", reads=["images"]),
            "mmvp": stage("bench mmvp --tower {train}/tower --data '{pairs}' --device {device} --out {out}/a.json"),
        },
        {"pairs": {"path": "my data/MMVP"}, "images": {"path": "cc3m"}},
        device="cuda",
    )
    train, mmvp = plan(recipe, OUT)
    assert train.words == ("train", "runs/x/training.yaml", "--out", "runs/x/train")
    assert (train.data, train.needs, train.makes) == ({"images": "cc3m"}, (), (OUT / "train/tower/weights",))
    assert mmvp.words == (
        *("bench", "mmvp", "--tower", "runs/x/train/tower", "--data", "my data/MMVP"),
        *("--device", "cuda", "--out", "runs/x/mmvp/a.json"),
    )
    assert (mmvp.data, mmvp.needs) == ({"pairs": "my data/MMVP"}, train.makes)


def test_a_stage_is_run_once_for_each_item_and_meets_those_of_the_same_item(planned: Planned) -> None:
    recipe = planned(
        {
            "average": stage("export a --average {each} --out {out}/tower", "tower/weights", each=[0.25, 0.5]),
            "mmvp": stage("bench mmvp --tower {average}/tower", "{each}.json", each=["0.5"]),
        }
    )
    quarter, half, mmvp = plan(recipe, OUT)
    assert [step.name for step in (quarter, half, mmvp)] == ["average-0.25", "average-0.5", "mmvp-0.5"]
    assert quarter.words[3] == "0.25"
    assert mmvp.words[-1] == "runs/x/average-0.5/tower"
    assert mmvp.needs == half.makes == (OUT / "average-0.5/tower/weights",)
    assert mmvp.makes == (OUT / "mmvp-0.5/0.5.json",)
    assert select([quarter, half, mmvp], ["average"], None) == [quarter, half]
    assert select([quarter, half, mmvp], ["average-0.5"], None) == [half]
    assert select([quarter, half, mmvp], [], "average-0.5") == [half, mmvp]


def test_an_item_stands_within_the_names_of_steps_and_data(planned: Planned) -> None:
    recipe = planned(
        {
            "start-old": stage("swap {pairs}"),
            "start-new": stage("swap"),
            "train": stage("train {start-{each}}/model", each=["old", "new"]),
            "eval": stage("eval {train-new} --against {train-old}"),
            "test": stage("test --data {{each}}", each=["pairs", "shards"]),
            "read": stage("test --set {each}", each=["shards"], reads=["{each}"]),
        },
        {"pairs": {"path": "mmvp"}, "shards": {"path": "cc3m"}},
    )
    steps = {step.name: step for step in plan(recipe, OUT)}
    assert steps["train-new"].words == ("train", "runs/x/start-new/model")
    assert steps["train-new"].needs == steps["start-new"].makes
    assert steps["eval"].words == ("eval", "runs/x/train-new", "--against", "runs/x/train-old")
    assert set(steps["eval"].needs) == {*steps["train-old"].makes, *steps["train-new"].makes}
    assert (steps["test-pairs"].words[-1], steps["test-pairs"].data) == ("mmvp", {"pairs": "mmvp"})
    assert steps["read-shards"].data == {"shards": "cc3m"}


def test_a_launcher_may_name_a_file_of_the_packages(planned: Planned) -> None:
    launcher = "accelerate launch --config_file {packages}/downstream/llava/fsdp.yaml"
    (step,) = plan(planned({"a": stage("zoo")}, launcher=launcher), OUT)
    assert step.launcher[:3] == ("accelerate", "launch", "--config_file")
    assert Path(step.launcher[3]).samefile(Path(diva_downstream.llava.__file__).parent / "fsdp.yaml")


def test_an_option_whose_data_have_no_path_is_left_out(planned: Planned) -> None:
    recipe = planned(
        {"mmvp": stage("bench mmvp --against tower --against-checkpoint {base} --out {out}")},
        {"base": {"path": None}},
    )
    (step,) = plan(recipe, OUT)
    assert step.words == ("bench", "mmvp", "--against", "tower", "--out", "runs/x/mmvp")
    assert step.data == {}


def test_a_stage_stands_right_behind_those_that_it_needs(planned: Planned) -> None:
    needs = {"a": "", "b": "{e} {d}", "c": "", "d": "{e}", "e": ""}
    stages = {name: stage(f"zoo {needed}") for name, needed in needs.items()}
    assert [step.name for step in plan(planned(stages), OUT)] == ["a", "e", "d", "b", "c"]


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        (
            {"mmvp": stage("bench {pears}")},
            r"mmvp.command: '\{pears\}' stands for nothing here; did you mean 'pairs'",
        ),
        ({"mmvp": stage("bench", reads=["pear"])}, "mmvp.reads: there are no data called 'pear'; did you mean"),
        ({"pairs": stage("bench")}, "pipeline: 'pairs' means two things"),
        ({"report": stage("bench")}, "pipeline: 'report' means two things"),
        ({"a": stage("bench", each=["b"]), "a-b": stage("bench")}, "pipeline: 'a-b' means two things"),
        (
            {"a": stage("bench", launcher="srun {a}")},
            r"a\.launcher: '\{a\}' stands for nothing here; valid: device",
        ),
        ({"mmvp": stage("bench 'open")}, "mmvp.command: cannot be read"),
        ({"mmvp": stage("bench {pairs")}, "mmvp.command: cannot be read"),
        ({"a": stage("bench {b}"), "b": stage("bench {a}")}, "each of these stages needs the next"),
        ({"MMVP": stage("bench")}, "string should match pattern"),
        ({"mmvp": {"command": "bench"}}, "pipeline.stages.mmvp.makes: field required"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(planned: Planned, stages: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan(planned(stages, {"pairs": {"path": "x"}}), OUT)


def test_a_recipe_without_a_pipeline_says_what_to_use(planned: Planned) -> None:
    recipe = planned({"a": stage("zoo")}).model_copy(update={"pipeline": None})
    with pytest.raises(InputError, match="'tiny' names no stages"):
        plan(recipe, OUT)


def test_a_stage_that_is_not_there_cannot_be_chosen(planned: Planned) -> None:
    steps = plan(planned({"mmvp": stage("zoo")}), OUT)
    with pytest.raises(InputError, match="--only: there is no stage 'mmpv'; did you mean 'mmvp'"):
        select(steps, ["mmpv"], None)
    with pytest.raises(InputError, match="--from: there is no stage 'x'"):
        select(steps, [], "x")
    with pytest.raises(InputError, match="--only: does not go with --from"):
        select(steps, ["mmvp"], "mmvp")
