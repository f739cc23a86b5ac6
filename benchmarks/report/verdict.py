"""The plain sentence on each tower: what it is better at, what it costs, and what cannot be told."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from diva.evaluation.judgement import Judgement
from diva.evaluation.measures import Tower
from diva.evaluation.multiples import row_names
from diva.evaluation.section import Remark, Row
from diva.evaluation.wording import duration, points, signed
from diva_benchmarks.report.columns import Origin
from diva_benchmarks.report.content import ChangeLine, Verdict
from diva_benchmarks.report.training import Cost


def verdicts(
    towers: Sequence[Tower],
    summary: Sequence[Row],
    remarks: Sequence[Remark],
    costs: Mapping[Path, Cost],
    origins: Sequence[Origin],
) -> list[Verdict]:
    """Return a verdict for each tower beside the baseline, from the differences of the summary alone.

    Args:
        remarks: what tasks have to say of a tower beside that.
        costs: of training runs, by their folders.
        origins: the steps of pipelines, of which some judged the images.
    """
    found = []
    for column, tower in enumerate(towers):
        if tower.role != "baseline" and towers[0].role == "baseline":
            changes = [
                ChangeLine(measure=f"{row.name} ({row.note})" if row.note else row.name, change=change)
                for row in summary
                if (change := row.change(column))
            ]
            said = [
                *_said(column, summary),
                *(each.sentence for each in remarks if each.tower == tower.sha256),
                *_cost(tower, towers, costs, origins),
            ]
            found.append(Verdict(tower=tower.label, sentence=" ".join(said), changes=changes))
    return found


def _said(column: int, summary: Sequence[Row]) -> Iterator[str]:
    names: dict[Judgement, list[str]] = {}
    for row, name in zip(summary, row_names(summary), strict=True):
        if change := row.change(column):
            best = ", the best here" if change.judgement is Judgement.BETTER and _is_best(row, column) else ""
            amount = f"{signed(change.value, change.unit)}{points(change.unit)}"
            names.setdefault(change.judgement, []).append(f"{name} ({amount}{best})")
    better, worse, same = (names.get(each, []) for each in (Judgement.BETTER, Judgement.WORSE, Judgement.UNCHANGED))
    if not (better or worse or same):
        yield "Nothing could be tested against the baseline."
        return
    clauses = [f"Better on {listed(better)}" if better else "Not shown to be better on anything"]
    clauses += [f"worse on {listed(worse)}"] if worse else []
    clauses += [f"no clear change on {listed(same) if len(same) < 3 else f'{len(same)} others'}"] if same else []
    yield f"{'; '.join(clauses)}."


def _is_best(row: Row, column: int) -> bool:
    """Tell whether another tower beside the baseline was measured, and none scores as well."""
    sign = 1 if row.higher_is_better else -1
    own = row.number(column)
    known = [number.value for each in range(len(row.cells)) if (number := row.number(each))]
    return own is not None and len(known) > 2 and sorted(sign * value for value in known)[-2] < sign * own.value


def _cost(
    tower: Tower, towers: Sequence[Tower], costs: Mapping[Path, Cost], origins: Sequence[Origin]
) -> Iterator[str]:
    """Say what training cost, with the judge's part; an average's that of the tower of its recipe."""
    sources = [tower.source]
    if tower.share is not None:
        sources += [each.source for each in towers if each.recipe == tower.recipe and each.share is None]
    for source in sources:
        found = next((cost for place, cost in costs.items() if PurePath(source).is_relative_to(place)), None)
        if found and found.images and found.seconds:
            yield f"Training took {duration(found.seconds)} on {found.images:,} images{_judging(found, origins)}."
            return


def _judging(cost: Cost, origins: Sequence[Origin]) -> str:
    if cost.verdicts is None:
        return ""
    step = next((each for each in origins if each.folder == PurePath(cost.verdicts)), None)
    if step is None or step.seconds is None:
        return ", plus the judge's time, which is not known here"
    return f", plus {duration(step.seconds)} for the judge's verdicts"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
