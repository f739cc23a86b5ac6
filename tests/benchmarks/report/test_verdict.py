from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    against,
    compared,
    percent,
    result,
    zero_shot_summary,
)


def judged(name: str, interval: tuple[float, float], p_value: float) -> object:
    return against(
        result(AFTER, [1, 0], name),
        result(BEFORE, [1, 0], name),
        compared("accuracy", sum(interval) / 2, interval, p_value),
    )


def test_every_measure_is_counted_by_its_judgement(build: Build) -> None:
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
        "Of 4 measures tested against the baseline, 1 got better, 1 got worse, and 2 cannot be told from no change."
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
        "1 got worse, and none cannot be told from no change. Zero-shot ability is preserved"
        " to within 2 points on average over 2 sets."
    )
