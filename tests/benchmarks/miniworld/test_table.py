import numpy as np
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_1samp

from benchmarks.miniworld.measure import Measured
from benchmarks.miniworld.plan import Plan, read_plan
from benchmarks.miniworld.rows import ORIGINAL, Row
from benchmarks.miniworld.table import lines, markdown, over_bases


def row(plan: Plan, setting: str, base: int, seed: int | None, pairs: float, share: float = 1.0) -> Row:
    both = {"colour": pairs, "text": pairs + 10}
    measured = Measured(pairs=both, zero_shot=90 + pairs / 10, pooled_probe=both, patch_probe=both, drift=0.1)
    return Row(plan=plan.sha256, setting=setting, share=share, base=base, seed=seed, measured=measured, gap=0.01)


@pytest.fixture
def plan() -> Plan:
    return read_plan()


def test_the_interval_is_that_of_a_t_test_over_bases() -> None:
    means = np.array([1.5, 4.0, -0.5])
    rows = [(base, value + shift) for base, value in enumerate(means) for shift in (-1.0, 0.0, 1.0)]
    figure = over_bases(rows)
    expected = ttest_1samp(means, 0).confidence_interval(0.95)
    assert figure.mean == pytest.approx(means.mean())
    assert figure.interval == pytest.approx((expected.low, expected.high))


def test_seeds_of_one_base_are_not_taken_for_independent() -> None:
    assert over_bases([(1, 2.0), (1, 4.0)]).interval is None
    doubled = over_bases([(1, 1.0), (1, 1.0), (2, 3.0), (2, 3.0)]).interval
    assert doubled == over_bases([(1, 1.0), (2, 3.0)]).interval
    assert doubled is not None
    assert doubled[1] - 2.0 == pytest.approx(student_t.ppf(0.975, 1))


def test_a_line_holds_differences_to_the_untrained_tower_of_the_same_base(plan: Plan) -> None:
    rows = [row(plan, ORIGINAL, 1, None, 20), row(plan, ORIGINAL, 2, None, 40)]
    rows += [row(plan, "DIVA", 1, 0, 23), row(plan, "DIVA", 2, 0, 45), row(plan, "DIVA", 1, 0, 21, share=0.5)]
    whole, half = lines(plan, rows)
    assert (whole.setting, whole.share, whole.runs) == ("DIVA", 1.0, 2)
    assert whole.pairs.mean == pytest.approx(4)  # 3 and 5
    assert whole.by_detail == pytest.approx({"colour": 4, "text": 4})
    assert whole.zero_shot.mean == pytest.approx(0.4)
    assert (half.share, half.pairs.mean, half.pairs.interval) == (0.5, pytest.approx(1), None)
    text = markdown(plan, rows)
    assert "| DIVA | 2 of 9 | +4.0 [" in text
    assert "| DIVA, 0.5 of it averaged in | 1 of 9 | +1.0 |" in text
    assert "| base 1, untrained (%) | | 25.0 | 92.0 |" in text
