import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, against, mmvp, right_in_each


def test_a_gain_comes_apart_into_tower_and_feature(build: Build) -> None:
    # right pairs of 4 in every pattern: pooled 1 → 2, published feature 3 → 4
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        against(mmvp(AFTER, right_in_each(4), "diva-openai"), mmvp(BEFORE, right_in_each(3), "diva-openai")),
    )
    (split,) = content["splits"]
    effects = split["effects"]
    assert (split["tower"], split["protocol"], split["missing"]) == ("after", "diva-openai", [])
    assert effects["scores"] == [[25, 75], [50, 100]]
    assert [each["value"] for each in effects["tower_effect"]] == pytest.approx([25, 25])
    assert [each["value"] for each in effects["feature_effect"]] == pytest.approx([50, 50])
    assert effects["mixed"]["value"] == pytest.approx(75)
    assert (effects["mixed"]["wins"], effects["mixed"]["losses"]) == (27, 0)
    assert effects["mixed"]["p_value"] == pytest.approx(2 * 0.5**27)


def test_what_a_split_lacks_is_named(build: Build) -> None:
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        mmvp(AFTER, right_in_each(4), "diva-openai"),
    )
    (split,) = content["splits"]
    assert (split["effects"], split["missing"]) == (None, ["before by diva-openai"])


def test_where_the_pooled_feature_alone_was_read_nothing_is_to_be_split(build: Build) -> None:
    assert build(against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))))["splits"] == []


def test_features_on_other_data_are_not_mixed(build: Build) -> None:
    other = mmvp(BEFORE, right_in_each(3), "diva-openai")
    other = other.model_copy(update={"data": other.data.model_copy(update={"fingerprint": "9" * 64})})
    ours = mmvp(AFTER, right_in_each(4), "diva-openai", data=other.data)
    content = build(against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))), against(ours, other))
    (split,) = content["splits"]
    assert split["missing"] == ["before by pooled", "after by pooled"]
