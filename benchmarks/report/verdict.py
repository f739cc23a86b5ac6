"""The plain sentence at the top: what got better, what got worse, and what cannot be told apart."""

from collections.abc import Sequence

from diva.evaluation.judgement import Judgement
from diva.evaluation.measures import Tower
from diva.evaluation.section import Remark, Row
from diva_benchmarks.report.content import ChangeLine, Verdict


def verdicts(towers: Sequence[Tower], summary: Sequence[Row], remarks: Sequence[Remark]) -> list[Verdict]:
    """Return a verdict for each tower beside the baseline, from the differences of the summary alone.

    Args:
        remarks: what tasks have to say of a tower beside that.
    """
    found = []
    for column, tower in enumerate(towers):
        if tower.role != "baseline" and towers[0].role == "baseline":
            changes = [
                ChangeLine(measure=f"{row.name} ({row.note})" if row.note else row.name, change=change)
                for row in summary
                if (change := row.change(column))
            ]
            said = [_count(changes), *(each.sentence for each in remarks if each.tower == tower.sha256)]
            found.append(Verdict(tower=tower.label, sentence=" ".join(said), changes=changes))
    return found


def _count(changes: Sequence[ChangeLine]) -> str:
    judgements = [each.change.judgement for each in changes]
    tested = len(judgements) - judgements.count(Judgement.UNTESTED)
    if not tested:
        return "Nothing could be tested against the baseline."
    better, worse, same = (
        judgements.count(each) or "none" for each in (Judgement.BETTER, Judgement.WORSE, Judgement.UNCHANGED)
    )
    return (
        f"Of {tested} measure{'s' * (tested != 1)} tested against the baseline, {better} got better,"
        f" {worse} got worse, and {same} cannot be told from no change."
    )
