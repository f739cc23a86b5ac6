"""Zero-shot: the sets, their averages, and whether a tower preserved them.

`diva bench zero-shot` writes one result for each set, called `zero_shot/<set>`, and one of the averages.
"""

from collections.abc import Iterator, Sequence

from diva_benchmarks.noninferiority import judge
from diva_benchmarks.report.content import Kept, Row, Tower, ZeroShot
from diva_benchmarks.report.measures import ZERO_SHOT, Measure

KIND = "average/"
MARGIN, ABSENT, FAILED = "margin", "absent/", "failed/"


def zero_shot(measures: Sequence[Measure], towers: Sequence[Tower]) -> ZeroShot | None:
    """Return the zero-shot section; None where nothing of it was measured."""
    averages = [measure for measure in measures if measure.benchmark == ZERO_SHOT]
    sets = [measure for measure in measures if measure.is_zero_shot_set]
    if not (averages or sets):
        return None
    listed = [item.id for measure in averages for entry in measure.entries if entry for item in entry.result.items]
    place = {name: number for number, name in reversed(list(enumerate(listed)))}
    sets.sort(key=lambda measure: place.get(measure.benchmark.removeprefix(f"{ZERO_SHOT}/"), len(listed)))
    return ZeroShot(
        sets=[measure.headline_row(measure.data.name, measure.protocol) for measure in sets],
        averages=[row for measure in averages for row in _averages(measure)],
        kept=[each for measure in averages for each in _kept(measure, towers)],
        absent=_missing(averages, ABSENT),
        failed=_missing(averages, FAILED),
    )


def _averages(measure: Measure) -> Iterator[Row]:
    kinds = [metric for metric in measure.metrics if metric.startswith(KIND)]
    for metric in kinds if len(kinds) > 1 else ():
        yield measure.row(metric, f"Mean of {metric.removeprefix(KIND)}", measure.setting)
    yield measure.headline_row()


def _kept(measure: Measure, towers: Sequence[Tower]) -> Iterator[Kept]:
    for entry, difference, tower in zip(measure.entries, measure.changes, towers, strict=True):
        margin = entry.result.metrics.get(MARGIN) if entry else None
        if entry and margin and difference:
            yield Kept(
                tower=tower.label,
                margin=margin.value,
                difference=difference,
                conclusion=judge(difference.interval, margin.value),
                sets=len(entry.result.items),
                missing=len(_missing([measure], ABSENT) + _missing([measure], FAILED)),
            )


def _missing(measures: Sequence[Measure], prefix: str) -> list[str]:
    names = [name for measure in measures for name in measure.metrics if name.startswith(prefix)]
    return [name.removeprefix(prefix) for name in dict.fromkeys(names)]
