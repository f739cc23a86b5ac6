import numpy as np
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_1samp

from diva_benchmarks.miniworld.measure import Measured
from diva_benchmarks.miniworld.plan import Plan, read_plan
from diva_benchmarks.miniworld.rows import ORIGINAL, Gaps, Row, Run, averaged
from diva_benchmarks.miniworld.summary import TRAINED, Study
from diva_benchmarks.miniworld.table import markdown, over_bases, summarise


def row(plan: Plan, setting: str, base: int, seed: int | None, pairs: float, weights: str = TRAINED) -> Row:
    both = {"colour": pairs, "text": pairs + 10}
    measured = Measured(pairs=both, zero_shot=90 + pairs / 10, pooled_probe=both, patch_probe=both, drift=0.1)
    gaps = Gaps(first=0.01, before_tower=0.02 * base, last=0.05)
    run = None if setting == ORIGINAL else Run(gaps=gaps, warnings=("odd",) * base, images=200, cpu_seconds=base)
    return Row(
        terms=plan.terms(setting),
        base_sha256="0" * 64,
        setting=setting,
        weights=weights,
        base=base,
        seed=seed,
        measured=measured,
        run=run,
    )


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
    half_of_it = averaged(0.5)
    rows = [row(plan, ORIGINAL, 1, None, 20), row(plan, ORIGINAL, 2, None, 40)]
    rows += [row(plan, "DCR", 1, 0, 21, half_of_it), row(plan, "DCR", 1, 0, 23), row(plan, "DCR", 2, 0, 45)]
    study = summarise(plan, rows)
    whole, half = study.lines
    assert (whole.setting, whole.weights, whole.runs) == ("DCR", TRAINED, 2)
    assert whole.pairs.mean == pytest.approx(4)  # 3 and 5
    assert whole.pairs_of == pytest.approx({"colour": 4, "text": 4})
    assert whole.zero_shot.mean == pytest.approx(0.4)
    assert whole.gap_before_tower is not None
    assert whole.gap_before_tower.mean == pytest.approx(0.03)
    assert whole.cpu_ms_per_image is not None
    assert whole.cpu_ms_per_image.mean == pytest.approx(7.5)  # 1 s and 2 s for 200 images
    assert whole.warned == 2
    assert (half.weights, half.pairs.mean, half.pairs.interval) == (half_of_it, pytest.approx(1), None)
    assert half.cpu_ms_per_image is None
    assert Study.model_validate_json(study.model_dump_json()) == study
    text = markdown(study)
    assert "| DCR | 2 of 9 | +4.0 [" in text
    assert "| 0.0100 → 0.0300 → 0.0500 | 0.100 | 7.5 |" in text
    assert "| DCR; average, 0.5 of it | 1 of 9 | +1.0 |" in text
    assert "| base 1, untrained (%) | | 25.0 | 92.0 |" in text
    assert "| DCR | +4.0 | +4.0 |" in text
    assert "−0.0" not in text


def test_compositions_are_set_against_the_bases_own_and_a_setting_may_be_judged_by_an_average(plan: Plan) -> None:
    setting = plan.settings[1].model_copy(update={"judged": 0.5})
    plan = plan.model_copy(update={"settings": (setting,), "seeds": (0,)})
    rows = []
    right = {(1, ORIGINAL, TRAINED): 40.0, (1, setting.name, TRAINED): 0.0, (1, setting.name, averaged(0.5)): 50.0}
    right |= {(2, *what): value - 10 + 4 * (value == 50) for (_, *what), value in right.items()}
    for (base, name, weights), value in right.items():
        made = row(plan, name, base, None if name == ORIGINAL else 0, 50, weights)
        measured = made.measured.model_copy(update={"compositions": value})
        rows.append(made.model_copy(update={"measured": measured}))
    found = summarise(plan, rows)
    assert {line.weights: line.counts for line in found.lines} == {TRAINED: False, averaged(0.5): True}
    assert found.lines[1].compositions == over_bases([(1, 10.0), (2, 14.0)])
    assert found.done == (1, 2)
    text = markdown(found)
    assert "Pending: 2 of the plan's 3 bases are in" in text
    assert "| base 2, untrained (%) | 30.0 |" in text
