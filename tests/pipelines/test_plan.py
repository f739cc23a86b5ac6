from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import diva_downstream.llava
from diva.errors import Damaged, Invalid, Mismatch, Missing, Unknown
from diva.pipelines import plan as planning
from diva.pipelines.load import load_pipeline
from diva.pipelines.plan import Step, plan
from diva.pipelines.select import select
from diva.recipes import load_recipe
from tests.pipelines.conftest import WritePipeline, step

Planned = Callable[..., list[Step]]
OUT = Path("runs/x")


@pytest.fixture
def planned(write_pipeline: WritePipeline, recipe: str) -> Planned:
    def plan_it(*arguments: Any, overrides: tuple[str, ...] = (), **fields: Any) -> list[Step]:
        loaded = load_recipe(recipe)
        return plan(loaded, load_pipeline(write_pipeline(*arguments, **fields), loaded, overrides), OUT)

    return plan_it


def test_a_step_s_options_become_words_and_what_it_names_folders_data_and_settings(planned: Planned) -> None:
    train, mmvp = planned(
        {
            "train": {"uses": "train", "needs": ["images"], "with": {"set": {"seed": 3, "data.streams": None}}},
            "mmvp": {
                "uses": "mmvp-vlm",
                "needs": ["train", "pairs"],
                "with": {
                    "tower": "${train}/tower",
                    "against": "${recipe.tower.name}",
                    "data": "${pairs}",
                    "device": "${pipeline.device}",
                    "seeds": 7,
                    "sets": ["a", "b"],
                    "loud": True,
                    "quiet": False,
                },
            },
        },
        {"pairs": {"path": "my data/MMVP"}, "images": {"path": "cc3m"}},
        device="cuda",
    )
    assert train.words == ("train", "runs/x/training.yaml", "seed=3", "--out", "runs/x/train", "--resume")
    assert {name: place.path for name, place in train.data.items()} == {"images": "cc3m"}
    assert (train.needs, train.makes) == ((), (OUT / "train/tower/open_clip_model.safetensors",))
    assert mmvp.words == (
        *("bench", "mmvp", "--tower", "runs/x/train/tower", "--against", "tower", "--data", "my data/MMVP"),
        *("--device", "cuda", "--seeds", "7", "--sets", "a,b", "--loud", "--out", "runs/x/mmvp/mmvp.json"),
    )
    assert (list(mmvp.data), mmvp.after, mmvp.needs) == (["pairs"], ("train",), train.makes)
    assert mmvp.makes == (OUT / "mmvp/mmvp.json",)


def test_a_step_is_run_once_for_each_item_and_meets_those_of_the_same_item(planned: Planned) -> None:
    quarter, half, mmvp = steps = planned(
        {
            "average": step(uses="export", each=[0.25, 0.5], **{"with": {"average": "${each}"}}),
            "mmvp": step("average", each=["0.5"], makes=["${each}.json"]),
        }
    )
    assert [each.name for each in steps] == ["average-0.25", "average-0.5", "mmvp-0.5"]
    assert quarter.words[:3] == ("export", "--average", "0.25")
    assert "runs/x/average-0.5" in mmvp.words
    assert mmvp.needs == half.makes == (OUT / "average-0.5/tower/config.json",)
    assert mmvp.makes == (OUT / "mmvp-0.5/0.5.json",)
    assert select(steps, ["average"], None) == [quarter, half]
    assert select(steps, ["average-0.5"], None) == [half]
    assert select(steps, [], "average-0.5") == [half, mmvp]


def test_an_item_stands_within_the_names_of_steps_and_data(planned: Planned) -> None:
    steps = {
        each.name: each
        for each in planned(
            {
                "start-old": step("pairs"),
                "start-new": step(),
                "train": step("start-${each}", each=["old", "new"]),
                "eval": step("train-new", "train-old"),
                "test": step("${each}", each=["pairs", "shards"]),
            },
            {"pairs": {"path": "mmvp"}, "shards": {"path": "cc3m"}},
        )
    }
    assert "runs/x/start-new" in steps["train-new"].words
    assert steps["train-new"].needs == steps["start-new"].makes
    assert steps["eval"].words[3:6:2] == ("runs/x/train-new", "runs/x/train-old")
    assert set(steps["eval"].needs) == {*steps["train-old"].makes, *steps["train-new"].makes}
    assert ("mmvp" in steps["test-pairs"].words, list(steps["test-pairs"].data)) == (True, ["pairs"])


def test_a_launcher_may_name_a_file_of_an_installed_package(planned: Planned) -> None:
    launcher = (
        "accelerate launch --config_file ${packages.diva_downstream}/llava/fsdp.yaml -n ${pipeline.processes}"
    )
    (only,) = planned({"a": step()}, launcher=launcher, overrides=("pipeline.processes=3",))
    assert only.launcher[:3] == ("accelerate", "launch", "--config_file")
    assert Path(only.launcher[3]).samefile(Path(diva_downstream.llava.__file__).parent / "fsdp.yaml")
    assert only.launcher[4:] == ("-n", "3")


def test_an_option_that_is_or_names_a_null_is_left_out(planned: Planned) -> None:
    options = {"against": "tower", "against-checkpoint": "${base}", "cache": "${base}/cache", "seeds": None}
    (only,) = planned({"mmvp": step("base", **{"with": options})}, {"base": {"path": None}})
    assert only.words == ("bench", "mmvp", "--against", "tower", "--out", "runs/x/mmvp/mmvp.json")
    assert only.data == {}


def test_a_step_stands_right_behind_those_that_it_needs(planned: Planned) -> None:
    needs = {"a": (), "b": ("e", "d"), "c": (), "d": ("e",), "e": ()}
    assert [each.name for each in planned({name: step(*its) for name, its in needs.items()})] == list("aedbc")


def test_data_may_lie_where_the_recipe_or_other_data_say_and_the_source_says_so(planned: Planned) -> None:
    data = {
        "teacher": {"path": "${recipe.denoiser.path}", "source": "fetch --to ${path}"},
        "part": {"path": "${data.teacher}/unet"},
    }
    (only,) = planned({"a": step("teacher", "part")}, data)
    assert [(place.path, place.source) for place in only.data.values()] == [
        ("teacher", "fetch --to teacher"),
        ("teacher/unet", "docs/data.md"),
    ]


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ({"tower.name": "tow*"}, True),
        ({"tower.name": ["x", "tower"], "data.image_size": 32}, True),
        ({"tower.name": "tower", "data.image_size": 64}, False),
        ({"tower.checkpoint": None}, True),
        ({"denoiser.fit_images": None}, True),  # which this kind does not have
        ({"feedback.shuffle_condition": True}, False),
    ],
)
def test_what_differs_with_the_recipe_is_merged_in(planned: Planned, where: dict[str, Any], fits: bool) -> None:
    change = {
        "where": where,
        "steps": {"a": None, "b": {"with": {"seeds": 2}}},
        "data": {"pairs": {"path": "there"}},
    }
    steps = {"a": step(), "b": step("pairs", **{"with": {"data": "${pairs}", "seeds": 1}})}
    found = planned(steps, {"pairs": {"path": "here"}}, changes={"mine": change})
    assert [each.name for each in found] == (["b"] if fits else ["a", "b"])
    assert found[-1].words[2:6] == (*("--data", "there" if fits else "here"), *("--seeds", "2" if fits else "1"))


def test_what_a_task_can_be_told_becomes_options_one_called_set_too(planned: Planned) -> None:
    options = {"tower": "x", "data": "${pairs}", "set": "winoground", "seeds": 3}
    (found,) = planned({"w": {"uses": "pairs", "needs": ["pairs"], "with": options}}, {"pairs": {"path": "here"}})
    assert found.words[:2] == ("bench", "pairs")
    assert found.words[2:-2] == ("--tower", "x", "--data", "here", "--set", "winoground", "--seeds", "3")


def test_a_pipeline_may_start_from_a_packaged_one_as_it_is_for_the_recipe_and_then_changes_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: paper\nsteps:\n  llava-eval: null\n  visualise: {with: {pairs: 3}}\n"
        "  digits: {uses: zero-shot, needs: [train], with: {tower: '${train}/tower'}}\n"
    )
    recipe = load_recipe("genhancer/siglip-so400m14-224")
    theirs, ours = (
        {step.name: step.words for step in plan(recipe, load_pipeline(name, recipe), OUT)}
        for name in (None, str(path))
    )
    assert theirs.keys() - ours.keys() == {"llava-eval"}
    assert ours.keys() - theirs.keys() == {"digits"}
    assert [name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]] == ["visualise"]
    assert "--run" not in ours["visualise"]
    assert ours["visualise"][ours["visualise"].index("--pairs") + 1] == "3"


def test_steps_of_an_extra_that_is_not_installed_are_left_out(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"a": step(extra="llava"), "b": step(extra="segmentation"), "c": step("a", extra="llava")}
    monkeypatch.setattr(planning, "EXTRAS", {"llava": "no_such_package", "segmentation": "yaml"})
    assert [each.name for each in planned(steps)] == ["b"]


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ({"a": step(uses="mmvp-vml")}, pytest.raises(Unknown, match=r"steps.a.uses: .*mmvp-vml.*mmvp-vlm")),
        (
            {"a": {"uses": "mmvp-vlm", "when": 1}},
            pytest.raises(Invalid, match=r"steps.a: .*'when'.*control.*extra"),
        ),
        ({"a": {"with": {}}}, pytest.raises(Invalid, match=r"steps.a.uses:")),
        (
            {"a": step(**{"with": {"data": "${pairs}"}})},
            pytest.raises(Unknown, match=r"steps.a.with.data: '\$\{pairs\}'.*'pairs'"),
        ),
        (
            {"a": step("pairs", **{"with": {"data": ["${piars}"]}})},
            pytest.raises(Unknown, match=r"steps.a.with.data.0: '\$\{piars\}'.*'pairs'"),
        ),
        ({"a": step(**{"with": {"data": "x/${pairs"}})}, pytest.raises(Invalid, match=r"with.data: 'x/\$\{pairs'")),
        ({"a": step("piars")}, pytest.raises(Unknown, match=r"steps.a.needs: .*'piars'.*'pairs'")),
        ({"a": step("b"), "b": step("a")}, pytest.raises(Invalid, match=r"steps: .*→.*→")),
        ({"pairs": step()}, pytest.raises(Invalid, match="pairs")),
        ({"report": step()}, pytest.raises(Invalid, match="report")),
        ({"a": step(each=["b"]), "a-b": step()}, pytest.raises(Invalid, match="a-b")),
        ({"b": step(), "a": step(launcher="srun ${b}")}, pytest.raises(Unknown, match=r"a\.launcher: '\$\{b\}'")),
        ({"a": step(launcher="srun '")}, pytest.raises(Damaged, match=r"a\.launcher:")),
        ({"a": step(uses="segmentation-train")}, pytest.raises(Missing, match=r"a\.makes:")),
        ({"a": step(makes=[])}, pytest.raises(Invalid, match=r"a\.makes: tuple.*1")),
        (
            {"a": step(uses="train", **{"with": {"set": ["a"]}})},
            pytest.raises(Invalid, match=r"a\.with\.set: .*FIELD.*VALUE"),
        ),
        (
            {f"s{n}": step(*([f"s{n + 1}"] if n < 600 else [])) for n in range(601)},
            pytest.raises(Invalid, match=r"steps: .*601"),
        ),
        ({"MMVP": step()}, pytest.raises(Invalid, match=r"string.*match")),
        ({"a": step(extra="lava")}, pytest.raises(Invalid, match=r"a.extra: .*'llava'.*'segmentation'")),
        ({}, pytest.raises(Invalid, match=r"steps: dictionary.*1")),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_and_its_place(
    planned: Planned, steps: dict[str, object], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused as caught:
        planned(steps, {"pairs": {"path": "x"}})
    assert "pipeline.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"changes": [1]}, pytest.raises(Invalid, match="changes:")),
        ({"changes": {"x": {"steps": {}}}}, pytest.raises(Invalid, match=r"changes.x: where:")),
        ({"processes": 0}, pytest.raises(Invalid, match=r"processes: .*0")),
        ({"stages": {}}, pytest.raises(Invalid, match=r"stages: .*'steps'.*'stages'")),
        ({"extends": "papre"}, pytest.raises(Unknown, match=r"extends: papre: .*'paper'")),
    ],
)
def test_a_mistake_outside_the_steps_is_one_sentence_too(
    planned: Planned, fields: dict[str, Any], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        planned({"a": step()}, **fields)


def test_a_value_that_holds_a_reference_is_refused(planned: Planned) -> None:
    """It would be replaced by itself for ever."""
    with pytest.raises(Invalid, match=r"'\$\{pipeline.device\}'.*'x\$\{pipeline.device\}'"):
        planned({"a": step(**{"with": {"device": "${pipeline.device}"}})}, device="x${pipeline.device}")


def test_a_recipe_that_trains_no_tower_says_what_to_use() -> None:
    recipe = load_recipe("un2clip/openai-vit-l14-224-decoder")
    with pytest.raises(Mismatch, match=r"paper: steps\.train: .*'un2clip/.*-decoder'"):
        plan(recipe, load_pipeline(None, recipe), OUT)


def test_a_step_that_is_not_there_cannot_be_chosen(planned: Planned) -> None:
    steps = planned({"mmvp": step()})
    with pytest.raises(Unknown, match=r"--only: .*'mmpv'.*'mmvp'"):
        select(steps, ["mmpv"], None)
    with pytest.raises(Unknown, match=r"--from: .*'x'"):
        select(steps, [], "x")
    with pytest.raises(Mismatch, match=r"--only: .*--from"):
        select(steps, ["mmvp"], "mmvp")
