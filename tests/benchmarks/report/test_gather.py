from diva.results import DataSource, Item, Metric
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, OTHER, against, result, run, segmentation
from tests.benchmarks.report.figures import change, rows, value


def test_the_baseline_that_results_name_comes_first(build: Build) -> None:
    content = build(result(OTHER, [1, 0]), against(result(AFTER, [1, 1]), result(BEFORE, [0, 0])))
    assert [(tower["label"], tower["role"]) for tower in content["towers"]] == [
        ("before", "baseline"),
        ("other", "tower"),
        ("after", "tower"),
    ]
    assert content["baseline_note"] == ""
    (row,) = content["summary"]
    assert [value(row, column) for column in range(3)] == [0, 50, 100]
    # the other tower's file names no baseline: measured alike, it is compared all the same
    assert [each and each["value"] for each in (change(row, column) for column in range(3))] == [None, 50, 100]


def test_without_a_named_baseline_the_first_tower_stands_in(build: Build) -> None:
    content = build(result(AFTER, [1, 1]), result(BEFORE, [0, 0]))
    assert [tower["label"] for tower in content["towers"]] == ["after", "before"]
    assert "first tower given stands in" in content["baseline_note"]
    assert change(content["summary"][0], 1)["value"] == -100


def test_a_tower_alone_is_compared_with_nothing(build: Build) -> None:
    content = build(result(AFTER, [1, 1]))
    assert content["verdicts"] == []
    assert change(content["summary"][0], 0) is None
    assert content["baseline_note"] == "There is no second tower, so nothing is compared."


def test_of_several_baselines_the_one_that_most_results_name_is_taken(build: Build) -> None:
    content = build(
        against(result(AFTER, [1, 1]), result(OTHER, [1, 0])),
        against(result(AFTER, [1, 1], "mmbench"), result(BEFORE, [0, 0], "mmbench")),
        against(result(OTHER, [1, 1], "mmbench"), result(BEFORE, [0, 0], "mmbench")),
    )
    assert content["towers"][0]["label"] == "before"
    assert "several baselines" in content["baseline_note"]


def test_results_on_other_data_are_not_subtracted_and_it_is_said_why(build: Build) -> None:
    elsewhere = DataSource(name="POPE", path="elsewhere", fingerprint="9" * 64, items=2)
    content = build(against(result(OTHER, [1, 1]), result(BEFORE, [0, 1])), result(AFTER, [1, 1], data=elsewhere))
    assert [[bool(cell) for cell in row["cells"]] for row in content["summary"]] == [
        [True, True, False],
        [False, False, True],
    ]
    (left_out,) = content["left_out"]
    assert left_out["what"] == "POPE (greedy): difference of after"
    assert left_out["reason"] == (
        "other data: POPE with fingerprint 999999999999 for the tower,"
        " POPE with fingerprint 111111111111 for the baseline"
    )


def test_results_of_other_settings_are_not_subtracted_and_it_is_said_why(build: Build) -> None:
    content = build(
        against(result(OTHER, [1, 1]), result(BEFORE, [0, 1])), result(AFTER, [1, 1], reading="sampled")
    )
    (left_out,) = content["left_out"]
    assert left_out["what"] == "POPE (sampled): difference of after"
    assert left_out["reason"] == "other settings: sampled for the tower, greedy for the baseline"


def test_results_on_other_items_are_not_subtracted_and_it_is_said_why(build: Build) -> None:
    data = DataSource(name="POPE", path="data/pope", fingerprint="1" * 64, items=2)
    short = result(AFTER, [1], data=data, items=[Item(id="0", group="all", outcome=1)])
    content = build(result(BEFORE, [0, 1], data=data), short)
    assert change(content["summary"][0], 1) is None
    (left_out,) = content["left_out"]
    assert left_out["reason"].startswith("items: differs between 'after' and 'before'")


def test_a_benchmark_that_the_baseline_lacks_is_shown_without_a_difference(build: Build) -> None:
    content = build(result(BEFORE, [0, 1]), result(AFTER, [1, 1], "captions"))
    assert content["summary"][1]["cells"][0] == []
    assert content["left_out"] == [
        {"what": "captions (greedy): difference of after", "reason": "the baseline was not measured"}
    ]


def test_of_two_measurements_the_newer_is_shown_and_the_older_is_named(build: Build, tmp_path: object) -> None:
    newer = result(AFTER, [1, 1], run=run(hour=13))
    content = build(newer, result(AFTER, [1, 0]))
    assert value(content["summary"][0], 0) == 100
    (left_out,) = content["left_out"]
    assert left_out["what"] == f"{tmp_path}/1.json"
    assert f"those of {tmp_path}/0.json are newer" in left_out["reason"]


def test_the_same_baseline_in_two_files_is_one(build: Build) -> None:
    before = result(BEFORE, [0, 1])
    content = build(against(result(AFTER, [1, 1]), before), against(result(OTHER, [1, 0]), before))
    assert content["left_out"] == []
    assert len(content["records"]) == 3


def test_two_checkpoints_of_one_label_are_told_apart(build: Build) -> None:
    content = build(result(AFTER, [1, 0]), result(OTHER.model_copy(update={"label": "after"}), [1, 1]))
    assert [tower["label"] for tower in content["towers"]] == ["after #bbbbbbbb", "after #cccccccc"]


def test_a_result_without_a_metric_is_named(build: Build) -> None:
    content = build(result(AFTER, [1, 0]), result(BEFORE, [1], metrics={}))
    assert [each["reason"] for each in content["left_out"]] == ["pope of 'before': holds no metric (greedy)"]


def test_every_metric_of_any_task_has_a_row_even_where_its_package_is_not_installed(build: Build) -> None:
    speed = {"speed": Metric(value=98.25, unit="images/s", n=100), "memory": Metric(value=2**30, unit="bytes", n=1)}
    content = build(
        result(BEFORE, [1], "of-another-package", metrics=speed, items=[], headline="speed"),
        segmentation(AFTER, 33.25),
    )
    assert list(rows(content, "of-another-package")) == ["speed", "memory"]
    assert list(rows(content, "segmentation")) == ["mIoU", "aAcc"]
    assert list(rows(content, "segmentation", 1)) == ["IoU/wall"]
    assert [row["name"] for row in content["summary"]] == ["Segmentation: ade20k", "of-another-package"]
