"""Taking a gain on MMVP-VLM apart into what the tower and what the feature contributes.

Published gains compare a tower read by CLS and patches with a baseline read by CLS alone. With all four results
the two changes come apart: the tower's at one feature, and the feature's at one tower.
"""

from collections.abc import Sequence

from diva.errors import InputError
from diva.results import Result
from diva_benchmarks.report.content import Difference, Effects, Split, Tower
from diva_benchmarks.report.differences import headline_difference
from diva_benchmarks.report.measures import MMVP, POOLED, Measure

PUBLISHED = "diva-"


def splits(measures: Sequence[Measure], towers: Sequence[Tower]) -> list[Split]:
    """Return a split for each tower and published protocol; what it lacks is said in it.

    There is none where the pooled feature alone was read: then all of a gain is the tower's.
    """
    ours = [measure for measure in measures if measure.benchmark == MMVP]
    published = [measure for measure in ours if measure.protocol.startswith(PUBLISHED)]
    if not published or towers[0].role != "baseline":
        return []
    found = []
    for column in range(1, len(towers)):
        of_either = [measure for measure in published if measure.entries[column] or measure.entries[0]]
        if not of_either:
            missing = [f"{tower.label} by a published protocol" for tower in (towers[0], towers[column])]
            found.append(Split(tower=towers[column].label, protocol=None, effects=None, missing=missing))
        found.extend(_split(measure, ours, towers, column) for measure in of_either)
    return found


def _split(published: Measure, measures: Sequence[Measure], towers: Sequence[Tower], column: int) -> Split:
    fingerprint = published.data.fingerprint
    pooled = next(
        (each for each in measures if each.protocol == POOLED and each.data.fingerprint == fingerprint), None
    )
    corners = [
        (f"{towers[row].label} by {protocol}", measure.entries[row] if measure else None)
        for row in (0, column)
        for protocol, measure in ((POOLED, pooled), (published.protocol, published))
    ]
    missing = [name for name, entry in corners if entry is None]
    results = [entry.result for _, entry in corners if entry]
    effects = None
    if not missing:
        try:
            effects = _effects(*results, metric=published.headline)
        except InputError as error:
            missing = [str(error)]
    return Split(tower=towers[column].label, protocol=published.protocol, effects=effects, missing=missing)


def _effects(
    baseline_pooled: Result,
    baseline_published: Result,
    tower_pooled: Result,
    tower_published: Result,
    *,
    metric: str,
) -> Effects:
    return Effects(
        scores=(
            (baseline_pooled.metrics[metric].value, baseline_published.metrics[metric].value),
            (tower_pooled.metrics[metric].value, tower_published.metrics[metric].value),
        ),
        tower_effect=(
            _effect(tower_pooled, baseline_pooled, metric),
            _effect(tower_published, baseline_published, metric),
        ),
        feature_effect=(
            _effect(baseline_published, baseline_pooled, metric),
            _effect(tower_published, tower_pooled, metric),
        ),
        mixed=_effect(tower_published, baseline_pooled, metric),
    )


def _effect(ours: Result, theirs: Result, metric: str) -> Difference:
    # here alone two protocols are compared, and that is the point: the feature is what differs
    alike = theirs.model_copy(update={"protocol": ours.protocol})
    return headline_difference(ours.model_copy(update={"baseline": None, "comparisons": []}), alike, metric)
