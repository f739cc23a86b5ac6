"""What the report says of zero-shot: the sets, their averages, and whether a tower preserved them."""

from collections.abc import Iterator

from diva.evaluation.comparison import preserved
from diva.evaluation.judgement import LEAST_ITEMS, LEAST_SETS, Judgement, too_little
from diva.evaluation.measures import Measure, Measured, held_comparison
from diva.evaluation.multiples import differences
from diva.evaluation.section import (
    Block,
    Details,
    Inline,
    Number,
    Paragraph,
    Remark,
    Row,
    Section,
    Words,
    words,
)
from diva.results import Comparison, Result

KIND = "kind of set"  # the averages' breakdown
PRESERVED = (
    "Preserved means that the whole interval of the mean's difference lies above minus the margin, over at least"
    f" {LEAST_SETS} sets with {LEAST_ITEMS} items. Of many sets, one in twenty looks changed by chance alone: the"
    " mean is what counts."
)
MISSING = {"absent": "Sets whose data were not there", "failed": "Sets that could not be measured"}


def zero_shot(title: str, measured: Measured) -> Section:
    """Return the section, with the sets in the order of their average."""
    averages = [measure for measure in measured.measures if not measure.part]
    sets = [measure for measure in measured.measures if measure.part]
    listed = [item.id for measure in averages for result in measure.results for item in result.items]
    place = {name: number for number, name in reversed(list(enumerate(listed)))}
    sets.sort(key=lambda measure: place.get(measure.part, len(listed)))
    kept = [each for measure in averages for each in _kept(measure, measured)]
    rows = [measure.headline_row(measure.data.name, measure.headline) for measure in sets]
    means = [row for measure in averages for row in _averages(measure)]
    labels = {tower.sha256: tower.label for tower in measured.towers}
    blocks: list[Block] = [
        Paragraph(content=_said(labels[result.subject.sha256], comparison, result)) for comparison, result in kept
    ]
    if kept:
        blocks.append(Paragraph(content=words(PRESERVED), style="soft"))
    for reason, sentence in MISSING.items():
        names = dict.fromkeys(
            each.name
            for measure in averages
            for result in measure.results
            for each in result.missing
            if each.reason == reason
        )
        if names:
            blocks.append(Paragraph(content=words(f"{sentence} ({len(names)}): {', '.join(names)}.")))
    blocks.append(measured.table([*rows, *means], "Set"))
    blocks += differences(rows, measured)
    further = [
        measure.row(name, f"{measure.data.name}: {name}")
        for measure in sets
        for name in measure.metrics
        if name != measure.headline
    ]
    if further:
        blocks.append(Details(summary="Further figures of the sets", blocks=[measured.table(further, "Figure")]))
    return Section(
        id="zero-shot",
        title="Zero-shot by set",
        blocks=blocks,
        # the sets stand aside where their average is there
        summary=[each.headline_row(f"{title} mean", each.data.name) for each in averages] or rows,
        remarks=[Remark(tower=result.subject.sha256, sentence=_remark(each, result)) for each, result in kept],
    )


def _averages(measure: Measure) -> Iterator[Row]:
    kinds = [name for name, metric in measure.metrics.items() if metric.breakdown == KIND]
    for name in kinds if len(kinds) > 1 else ():
        yield measure.row(name, f"Mean of {name.partition('/')[2]}", measure.note)
    yield measure.row(measure.headline, "Mean", measure.data.name, role="total")


def _kept(measure: Measure, measured: Measured) -> Iterator[tuple[Comparison, Result]]:
    """Yield the comparison with the baseline that has a margin, of each tower that has one."""
    baseline = measure.entries[0]
    for entry in measure.entries[1:] if measured.towers[0].role == "baseline" else ():
        if entry and baseline:
            comparison = held_comparison(entry.result, baseline.result, measure.headline)
            if comparison and comparison.margin is not None:
                yield comparison, entry.result


def _said(label: str, comparison: Comparison, result: Result) -> list[Inline]:
    judgement = preserved(result, comparison)
    assert comparison.margin is not None
    return [
        Words(text=f"{label}: {judgement}", style="strong"),
        Words(text=", with a margin for the loss of the mean of "),
        Number(value=comparison.margin, unit="points"),
        Words(text="."),
    ]


def _remark(comparison: Comparison, result: Result) -> str:
    margin, sets, missing = comparison.margin, len(result.items), len(result.missing)
    if reason := too_little(sets, result.data.items):
        return f"Whether zero-shot ability is preserved: {reason}."
    within = f"to within {margin:g} point{'s' * (margin != 1)} on average over {sets} sets"
    within += f" ({missing} missing)" if missing else ""
    judgement = preserved(result, comparison)
    if judgement is Judgement.UNDECIDED:
        return f"Whether zero-shot ability is preserved {within} cannot be decided."
    return f"Zero-shot ability is {judgement} {within}."
