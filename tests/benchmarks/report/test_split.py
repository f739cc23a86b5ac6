import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, against, mmvp, right_in_each
from tests.benchmarks.report.figures import change, names, rows, section, tables, text, value


def test_a_gain_comes_apart_into_tower_and_feature(build: Build) -> None:
    # right pairs of 4 in every pattern: pooled 1 → 2, published feature 3 → 4
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        against(mmvp(AFTER, right_in_each(4), "diva-openai"), mmvp(BEFORE, right_in_each(3), "diva-openai")),
    )
    assert "after, feature of diva-openai" in text(section(content, "split")["blocks"])
    before, after, effect = rows(content, "split").values()
    assert [[value(row, column) for column in (0, 1)] for row in (before, after)] == [[25, 75], [50, 100]]
    assert [change(effect, column)["value"] for column in (0, 1)] == pytest.approx([25, 25])
    assert [change(row, 2)["value"] for row in (before, after)] == pytest.approx([50, 50])
    mixed = change(effect, 2)
    assert mixed["value"] == pytest.approx(75)
    assert (mixed["wins"], mixed["losses"]) == (27, 0)
    assert mixed["p_value"] == pytest.approx(2 * 0.5**27)


def test_what_a_split_lacks_is_named(build: Build) -> None:
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        mmvp(AFTER, right_in_each(4), "diva-openai"),
    )
    assert list(tables(section(content, "split")["blocks"])) == []
    assert "Cannot be told: missing before by diva-openai." in text(section(content, "split")["blocks"])


def test_where_the_pooled_feature_alone_was_read_nothing_is_to_be_split(build: Build) -> None:
    assert "split" not in names(build(against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1)))))


def test_features_on_other_data_are_not_mixed(build: Build) -> None:
    other = mmvp(BEFORE, right_in_each(3), "diva-openai")
    other = other.model_copy(update={"data": other.data.model_copy(update={"fingerprint": "9" * 64})})
    ours = mmvp(AFTER, right_in_each(4), "diva-openai", data=other.data)
    content = build(against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))), against(ours, other))
    assert "missing before by pooled; after by pooled." in text(section(content, "split")["blocks"])
