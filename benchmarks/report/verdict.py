"""The plain sentence at the top: what got better, what got worse, and what cannot be told apart."""

from collections.abc import Sequence

from diva_benchmarks.noninferiority import Preservation
from diva_benchmarks.report.content import Change, Kept, Row, Tower, Verdict


def verdicts(towers: Sequence[Tower], summary: Sequence[Row], kept: Sequence[Kept]) -> list[Verdict]:
    """Return a verdict for each tower beside the baseline, from the differences of the summary alone.

    Args:
        kept: which of the towers preserved zero-shot ability.
    """
    found = []
    for column, tower in enumerate(towers):
        if tower.role != "baseline" and towers[0].role == "baseline":
            changes = [change for row in summary if (change := _change(row, column))]
            sentences = [_count(changes), *(_zero_shot(each) for each in kept if each.tower == tower.label)]
            found.append(Verdict(tower=tower.label, sentence=" ".join(sentences), changes=changes))
    return found


def _change(row: Row, column: int) -> Change | None:
    cell = row.cells[column]
    if cell is None or cell.difference is None:
        return None
    return Change(
        measure=f"{row.name} ({row.note})" if row.note else row.name, unit=row.unit, difference=cell.difference
    )


def _count(changes: Sequence[Change]) -> str:
    judgements = [change.difference.judgement for change in changes]
    tested = len(judgements) - judgements.count("untested")
    if not tested:
        return "Nothing could be tested against the baseline."
    better, worse, same = (judgements.count(each) or "none" for each in ("better", "worse", "no change shown"))
    return (
        f"Of {tested} measure{'s' * (tested != 1)} tested against the baseline, {better} got better,"
        f" {worse} got worse, and {same} cannot be told from no change."
    )


def _zero_shot(kept: Kept) -> str:
    within = (
        f"to within {kept.margin:g} point{'s' * (kept.margin != 1)} on average over {kept.sets}"
        f" set{'s' * (kept.sets != 1)}{f' ({kept.missing} missing)' if kept.missing else ''}"
    )
    if kept.conclusion is Preservation.UNDECIDED:
        return f"Whether zero-shot ability is preserved {within} cannot be decided."
    return f"Zero-shot ability is {kept.conclusion} {within}."
