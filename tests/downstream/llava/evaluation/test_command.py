"""The whole evaluation: two LLaVAs whose every answer is known, on all four benchmarks, with a judge."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image

from diva.cli import app
from diva.errors import Changed, Damaged, Invalid, Mismatch, Missing, Occupied, Unknown, Unreachable, Unwritable
from diva.lock import locked
from diva.results import Result, read_result
from diva_downstream.llava.evaluation.command import run
from diva_downstream.llava.record import StageDone, SwapRecord, write_record
from diva_downstream.llava.swap import swap
from tests.fixtures.contract import every_figure_is_on_the_page
from tests.fixtures.judge import LoopbackJudge, loopback_judge

SECRET = "sk-not-to-be-seen"
ALL = ("mmbench-en-dev", "mmvp-vqa", "pope-random", "llava-bench-wild")
RECORD = SwapRecord(
    projector="kept",
    model="llava-1.5-7b-hf",
    model_sha256="c" * 64,
    tower="runs/diva/tower",
    tower_architecture="ViT-L-14",
    tower_sha256="b" * 64,
)


def evaluate(model: Path, world: Path, out: Path, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "baseline": None,
        "benchmarks": ALL,
        "first": None,
        "batch": 16,
        "device": "cpu",
        "judge_url": None,
        "judge_model": None,
    }
    run(model, data=world, out=out, **(settings | changes))


def values(result: Result) -> dict[str, float]:
    return {name: round(metric.value, 2) for name, metric in result.metrics.items() if "/" not in name}


def swapped(model: Path, folder: Path, record: SwapRecord) -> Path:
    shutil.copytree(model, folder)
    write_record(record, folder)
    return folder


@pytest.fixture(scope="module")
def judged(
    says_no: Path, says_a: Path, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LoopbackJudge]:
    """The results of the model that says No, behind a new tower without training, against the one that says A."""
    folder = tmp_path_factory.mktemp("judged")
    with loopback_judge() as judge, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_API_KEY", SECRET)
        judge.answer = lambda content: "8 6\nSo-so." if "Assistant 2]\nNo\n" in content else "8 2\nA letter?"
        evaluate(
            swapped(says_no, folder / "swapped", RECORD),
            world,
            folder / "out",
            baseline=says_a,
            judge_url=judge.url,
            judge_model="tiny-judge",
        )
        return folder / "out", judge


def test_two_known_models_score_as_they_must(judged: tuple[Path, LoopbackJudge]) -> None:
    out, judge = judged
    results = {name: read_result(out / f"{name}.json") for name in ALL}
    before = {name: result.baseline for name, result in results.items()}

    mmbench, a = results["mmbench-en-dev"], before["mmbench-en-dev"]
    assert a is not None
    as_written = [float(item.details["right 0"] == "A") for item in a.items]
    assert values(a) == {"circular": 0, "single-pass": round(100 * sum(as_written) / 12, 2), "unread": 0}
    # "No" is no letter; it is the text of no option, since these read "No, it is bareheaded"
    assert values(mmbench) == {"circular": 0, "single-pass": 0, "unread": 100}
    assert [each.metric for each in mmbench.comparisons] == ["circular", "single-pass"]
    assert (mmbench.comparisons[1].wins, mmbench.comparisons[1].losses) == (0, sum(as_written))
    assert mmbench.items[0].details["answer 0"] == "No"

    assert before["mmvp-vqa"] is not None
    assert values(before["mmvp-vqa"]) == {"pairs": 0, "questions": 50, "unread": 0}
    assert values(results["pope-random"]) == {"accuracy": 50, "f1": 0, "recall": 0, "yes-share": 0, "unread": 0}

    open_answers = results["llava-bench-wild"]
    assert values(open_answers)["relative"] == 75
    assert before["llava-bench-wild"] is not None
    assert values(before["llava-bench-wild"])["relative"] == 25
    (comparison,) = open_answers.comparisons
    assert (comparison.difference, comparison.wins, comparison.losses) == (50, 6, 0)
    assert len(judge.contents) == 12
    lines = [json.loads(line) for line in (out / "llava-bench-wild-answers.jsonl").read_text().splitlines()]
    assert [(line["question_id"], line["text"]) for line in lines] == [(number, "No") for number in range(6)]


def test_images_of_changed_answers_lie_beside_their_result(judged: tuple[Path, LoopbackJudge], world: Path) -> None:
    out, _ = judged
    result = read_result(out / "pope-random.json")
    assert result.baseline is not None
    before = {item.id: item.outcome for item in result.baseline.items}
    shown = [item for item in result.items if item.pictures]
    assert len(shown) == min(12, sum(item.outcome != before[item.id] for item in result.items)) > 0
    lines = next(world.rglob("coco_pope_random.json")).read_text().splitlines()
    for item in shown:
        (name,) = item.pictures
        asked = next(world.rglob(json.loads(lines[int(item.id) - 1])["image"]))
        with Image.open(out / name) as copy, Image.open(asked) as image:
            assert copy.convert("RGB").tobytes() == image.convert("RGB").tobytes()  # no larger than is shown
    assert not any(
        item.pictures for item in read_result(out / "mmbench-en-dev.json").items
    )  # none is right in both


def test_every_figure_of_every_benchmark_is_in_the_report(
    judged: tuple[Path, LoopbackJudge], tmp_path: Path
) -> None:
    results = sorted(path for path in judged[0].glob("*.json") if "-baseline" not in path.name)
    assert {read_result(path).task for path in results} == {"mmbench", "mmvp-vqa", "pope", "llava-bench"}
    assert every_figure_is_on_the_page(results, tmp_path / "report") > 100


def test_a_swap_without_training_is_labelled_so_and_known_by_its_tower(
    judged: tuple[Path, LoopbackJudge],
) -> None:
    out, _ = judged
    result = read_result(out / "mmbench-en-dev.json")
    assert result.protocol.split(" · ")[0] == "letters by rule"
    assert result.protocol.endswith(" · zero-retrain / as published")
    assert (result.subject.sha256, result.subject.label) == ("b" * 64, "runs/diva/tower")
    assert result.baseline is not None
    assert result.baseline.protocol == result.protocol
    assert result.subject.sha256 != result.baseline.subject.sha256
    judged_by = read_result(out / "llava-bench-wild.json").protocol
    assert judged_by.startswith("judged by tiny-judge, own rule · ")


def test_a_new_tower_without_training_is_set_against_the_very_model_it_was_put_into_and_no_other_trained_one(
    says_a: Path, says_no: Path, tower_folder: Path, world: Path, tmp_path: Path
) -> None:
    stage = StageDone(recipe="x", train="full", data="0" * 64, weights_sha256="1" * 64, steps=1, loss=None)
    trained = swapped(says_a, tmp_path / "trained", RECORD.trained(stage))
    other = swapped(says_no, tmp_path / "other", RECORD.trained(stage))
    swap(trained, str(tower_folder), tmp_path / "zero")
    trial = {"benchmarks": ("pope-random",), "first": 2}
    evaluate(tmp_path / "zero", world, tmp_path / "out", baseline=trained, **trial)
    result = read_result(tmp_path / "out" / "pope-random.json")
    assert result.protocol.endswith(" · zero-retrain / full")
    assert result.comparisons[0].difference == 0  # both say A
    for model, baseline in ((other, tmp_path / "zero"), (tmp_path / "zero", other)):
        with pytest.raises(Changed, match=rf"zero: .*{other}.*train"):
            evaluate(model, world, tmp_path / "refused", baseline=baseline, **trial)
    swap(trained, str(tower_folder), tmp_path / "fresh", fresh_projector=True)
    with pytest.raises(Changed, match="fresh:"):
        evaluate(tmp_path / "fresh", world, tmp_path / "refused", baseline=trained, **trial)
    assert not (tmp_path / "refused").exists()


def test_the_key_is_sent_and_written_nowhere(judged: tuple[Path, LoopbackJudge]) -> None:
    out, judge = judged
    assert set(judge.keys) == {f"Bearer {SECRET}"}
    assert not any(SECRET.encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_a_trial_without_a_judge_asks_whole_questions_and_gives_no_score_to_open_answers(
    says_a: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [
        StageDone(recipe="x", train=kind, data="0" * 64, weights_sha256="1" * 64, steps=1, loss=None)
        for kind in ("projector", "lora")
    ]
    trained = RECORD.trained(stages[0]).trained(stages[1])
    evaluate(swapped(says_a, tmp_path / "trained", trained), world, tmp_path / "out", first=3)
    mmbench, mmvp, pope, wild = (read_result(tmp_path / "out" / f"{name}.json") for name in ALL)
    assert [len(result.items) for result in (mmbench, mmvp, pope)] == [3, 3, 3]
    assert (mmvp.metrics["questions"].n, mmvp.data.items) == (6, 6)
    assert mmbench.metrics["circular"].n == 3
    assert " · first 3 · " in mmbench.protocol
    assert mmbench.protocol.endswith(" · projector + lora")
    assert (wild.metrics, wild.items, wild.protocol.split(" · ")[0]) == ({}, [], "not judged")
    assert len((tmp_path / "out" / "llava-bench-wild-answers.jsonl").read_text().splitlines()) == 3
    assert "llava-bench-wild: no score, for want of --judge-url; the answers are in" in capsys.readouterr().out


def test_the_test_split_of_mmbench_ends_in_a_workbook_for_its_server(
    says_a: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pandas.read_table(world / "mmbench" / "MMBench_DEV_EN.tsv", dtype=str).drop(columns="answer")
    (tmp_path / "data" / "mmbench").mkdir(parents=True)
    table.to_csv(tmp_path / "data" / "mmbench" / "MMBench_TEST_EN.tsv", sep="\t", index=False)
    evaluate(says_a, tmp_path / "data", tmp_path / "out", benchmarks=("mmbench-en-test",), first=4)
    assert read_result(tmp_path / "out" / "mmbench-en-test.json").metrics == {}
    submitted = pandas.read_excel(tmp_path / "out" / "mmbench-en-test-submission.xlsx")
    assert set(submitted["index"] % 1_000_000) == {0, 1, 2, 3}
    assert set(submitted["prediction"]) == {"A"}
    assert "no score, the right answers are not public; submit the workbook in" in capsys.readouterr().out


def test_when_the_judge_fails_the_finished_results_and_reviews_stay(
    says_a: Path, world: Path, tmp_path: Path, judge: LoopbackJudge
) -> None:
    replies = iter(["8 6"] * 4 + [401])
    judge.answer = lambda _: next(replies)
    settings = {
        "benchmarks": ("pope-random", "llava-bench-wild"),
        "judge_url": judge.url,
        "judge_model": "tiny-judge",
    }
    with pytest.raises(Unreachable, match="401"):
        evaluate(says_a, world, tmp_path, **settings)
    assert read_result(tmp_path / "pope-random.json").metrics["accuracy"].value == 50
    assert not (tmp_path / "llava-bench-wild.json").exists()
    judge.answer = lambda _: "8 4"
    evaluate(says_a, world, tmp_path, **(settings | {"benchmarks": ("llava-bench-wild",)}))
    assert len(judge.contents) == 7  # four reviews, the refusal, and the two that were missing
    result = read_result(tmp_path / "llava-bench-wild.json")
    assert values(result)["relative"] == round(100 * (4 * 6 + 2 * 4) / (6 * 8), 2)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"benchmarks": ("pope",)}, pytest.raises(Unknown, match=r"--benchmarks: 'pope'.*blink.*cv-bench")),
        ({"benchmarks": ("mmvp-vq",)}, pytest.raises(Unknown, match="'mmvp-vqa'")),
        ({"benchmarks": ("mmvp-vqa", "mmvp-vqa")}, pytest.raises(Invalid, match="'mmvp-vqa'")),
        ({"benchmarks": ("mmbench-cn-dev",)}, pytest.raises(Missing, match=r"mmbench_dev_cn_20231003\.tsv")),
        ({"first": 0}, pytest.raises(Invalid, match="--limit: 0")),
        ({"batch": 0}, pytest.raises(Invalid, match="--batch: 0")),
        ({"judge_url": "http://localhost/v1"}, pytest.raises(Missing, match=r"--judge-url: .*--judge-model")),
        ({"judge_model": "x"}, pytest.raises(Missing, match=r"--judge-model: .*--judge-url")),
        ({"device": "cudo"}, pytest.raises(Invalid, match="--device: 'cudo'")),
        ({"baseline": Path("nowhere")}, pytest.raises(Damaged, match=r"nowhere/config\.json:")),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_asked(
    says_a: Path, world: Path, tmp_path: Path, changes: dict[str, Any], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        evaluate(says_a, world, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_llava_or_lacks_a_part_is_refused(says_a: Path, world: Path, tmp_path: Path) -> None:
    for name in ("*.safetensors", "chat_template.jinja"):
        folder = tmp_path / name.strip("*.")
        shutil.copytree(says_a, folder)
        for path in folder.glob(name):
            path.unlink()
        with pytest.raises(Missing, match="write the folder again with diva llava swap"):
            evaluate(folder, world, tmp_path / "out")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(Mismatch, match="LLaVA"):
        evaluate(folder, world, tmp_path / "out")


def test_a_missing_picture_is_told_before_the_model_is_loaded(says_a: Path, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "mmvp_vqa", tmp_path / "data" / "mmvp_vqa")
    (tmp_path / "data" / "mmvp_vqa" / "MMVP Images" / "4.jpg").unlink()
    with pytest.raises(Damaged, match=r"4\.jpg:"):
        evaluate(says_a, tmp_path / "data", tmp_path / "out", benchmarks=("mmvp-vqa",))


def test_the_command_line_names_the_same_options(says_a: Path, world: Path, tmp_path: Path) -> None:
    words = ["llava", "eval", str(says_a), "--data", str(world), "--out", str(tmp_path)]
    app([*words, "--benchmarks", "pope-random", "--limit", "2", "--batch", "2"], standalone_mode=False)
    assert read_result(tmp_path / "pope-random.json").data.items == 2


def test_one_evaluation_at_a_time_fills_a_folder_where_its_files_may_be_written(
    says_a: Path, world: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with locked(out), pytest.raises(Occupied, match="out:"):
        evaluate(says_a, world, out, benchmarks=("mmvp-vqa",))
    (out / "mmvp-vqa.json").mkdir(parents=True)
    with pytest.raises(Unwritable, match=r"mmvp-vqa\.json:"):
        evaluate(tmp_path / "no model", world, out, benchmarks=("mmvp-vqa",))
