import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, result, timed
from tests.benchmarks.report.figures import section, tables, value


def test_a_case_stands_beside_the_published_schedule_of_its_own_process_and_is_no_measure_of_a_tower(
    build: Build,
) -> None:
    published = timed("published schedule", 12.0)
    content = build(timed("cached", 30.0, published), timed("plain", 18.0, published), result(AFTER, [1, 0]))
    (table,) = tables(section(content, "throughput")["blocks"])
    assert [(row["note"].split(" · ")[2], value(row, 1)) for row in table["rows"]] == [
        ("published schedule", None),
        ("plain", pytest.approx(1.5)),
        ("cached", pytest.approx(2.5)),
    ]
    assert value(table["rows"][0], 3) == pytest.approx(37.5)  # share of peak
    assert len(content["towers"]) == len(content["summary"]) == 1
    assert len(content["records"]) == 4  # each can be repeated


def test_timings_alone_make_a_report(build: Build) -> None:
    content = build(timed("plain", 18.0, timed("published schedule", 12.0)))
    assert (content["baseline_note"], len(content["records"])) == ("", 2)
    assert content["records"][0]["command"]
