import json
from pathlib import Path

from diva.results import write_result
from diva_benchmarks.report.build import build as build_content
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    HALF,
    OTHER,
    against,
    compared,
    percent,
    result,
    write_metrics,
    zero_shot_summary,
)


def judged(name: str, interval: tuple[float, float], p_value: float) -> object:
    return against(
        result(AFTER, [1, 0], name),
        result(BEFORE, [1, 0], name),
        compared("accuracy", sum(interval) / 2, interval, p_value),
    )


def test_every_measure_is_named_by_its_judgement(build: Build) -> None:
    content = build(
        judged("a", (1, 9), 0.01),
        judged("b", (1, 9), 0.2),
        judged("c", (-9, -1), 0.001),
        judged("d", (-9, 1), 0.3),
        result(AFTER, [1, 0], "e", metrics={"score": percent(3, 2)}, headline="score"),
        result(BEFORE, [1, 0], "e", metrics={"score": percent(4, 2)}, headline="score"),
    )
    (verdict,) = content["verdicts"]
    assert verdict["tower"] == "after"
    assert verdict["sentence"] == (
        "Better on a (+5.0 points); worse on c (−5.0 points); no clear change on b (+5.0 points) and d (−4.0"
        " points)."
    )
    assert {each["measure"]: each["change"]["judgement"] for each in verdict["changes"]} == {
        "a (greedy · POPE)": "better",
        "b (greedy · POPE)": "no change shown",
        "c (greedy · POPE)": "worse",
        "d (greedy · POPE)": "no change shown",
        "e (greedy · POPE)": "untested",
    }


def test_towers_that_share_no_measure_get_no_verdict_on_change(build: Build) -> None:
    content = build(result(BEFORE, [1, 0], "a"), result(AFTER, [1, 0], "b"))
    assert content["verdicts"][0]["sentence"] == "Nothing could be tested against the baseline."


def test_preservation_is_part_of_the_verdict(build: Build) -> None:
    kept = compared("average", -1, (-1.5, -0.5), 0.01).model_copy(update={"margin": 2})
    ours = against(zero_shot_summary(AFTER, 74), zero_shot_summary(BEFORE, 75), kept)
    (verdict,) = build(ours)["verdicts"]
    assert verdict["sentence"].endswith(
        "worse on Zero-shot mean (−1.0 points). Zero-shot ability is preserved to within 2 points on average over 2"
        " sets."
    )


def test_the_best_of_several_towers_is_named_and_what_its_training_took(tmp_path: Path) -> None:
    before = result(BEFORE, [0, 0])
    run = tmp_path / "run"
    write_metrics(run / "metrics.jsonl")  # 6 steps of 4 images, the k-th at 10 + k images a second
    best = AFTER.model_copy(update={"source": str(run / "tower")})
    averaged = HALF.model_copy(update={"source": str(tmp_path / "averaged")})
    gain = compared("accuracy", 50, (10, 90), 0.01)
    for number, (subject, outcomes) in enumerate([(best, [1, 1]), (averaged, [0, 1]), (OTHER, [0, 1])]):
        ours = against(result(subject, outcomes), before, gain)
        write_result(ours, tmp_path / f"{number}.json")
    content = build_content(read_sources([tmp_path]), published=False)
    took = "Training took 1.8 s on 24 images."  # 24 * mean of 1/11 … 1/16
    assert [verdict.sentence for verdict in content.verdicts] == [
        f"Better on POPE (+50.0 points, the best here). {took}",
        f"Better on POPE (+50.0 points). {took}",  # an average took what its trained tower did
        "Better on POPE (+50.0 points).",
    ]


def test_the_price_of_verdicts_includes_the_judge(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_metrics(run / "metrics.jsonl")
    tower = AFTER.model_copy(update={"source": str(run / "tower")})
    gain = compared("accuracy", 50, (10, 90), 0.01)
    write_result(against(result(tower, [1, 1]), result(BEFORE, [0, 0]), gain), tmp_path / "result.json")
    (run / "recipe.yaml").write_text(f"name: mine\ndata: {{verdicts: {tmp_path / 'judge'}}}\n")

    def said() -> str:
        (verdict,) = build_content(read_sources([tmp_path]), published=False).verdicts
        return verdict.sentence.partition(". ")[2]

    assert said() == "Training took 1.8 s on 24 images, plus the judge's time, which is not known here."
    judged = {"state": "done", "log": str(tmp_path / "judge" / "log.txt"), "seconds": 61.0}
    manifest = {
        "schema_version": 1,
        "recipe": "mine",
        "pipeline": "paper",
        "overrides": [],
        "stages": {"judge": judged},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"stages": {"judge": judged}}))
    assert said() == "Training took 1.8 s on 24 images, plus 61.0 s for the judge's verdicts."
