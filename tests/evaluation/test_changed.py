from pathlib import Path

from diva.evaluation.changed import SHOWN, changed_items
from diva.evaluation.measures import Entry, Measured
from diva.evaluation.section import Details, Table
from diva.results import Item, Result
from diva_benchmarks.report.gather import gather
from tests.benchmarks.report.examples import AFTER, BEFORE, result


def answers(subject: object, outcomes: dict[str, float], **details: object) -> Result:
    items = [
        Item(
            id=name,
            group="all",
            outcome=outcome,
            details={"question": f"{name}?", "answer": f"{outcome}"} | details,
        )
        for name, outcome in outcomes.items()
    ]
    return result(subject, [1.0], items=items)  # type: ignore[arg-type]


def changed(before: Result, after: Result) -> list[Details]:
    gathered = gather([Entry(Path("a"), before), Entry(Path("b"), after)], {})
    (measure,) = gathered.measures
    return list(changed_items(measure, Measured(gathered.towers, [])))


def test_changed_items_show_what_both_were_given_and_what_each_made_of_it() -> None:
    before = answers(BEFORE, {"a": 0.0, "b": 1.0, "c": 0.25})
    after = answers(AFTER, {"a": 0.5, "b": 0.0, "c": 0.25}, read="it")
    (details,) = changed(before, after)
    assert details.summary == "2 items on which after and the baseline differ"
    (table,) = details.blocks
    assert isinstance(table, Table)
    said = [
        [row.name, *("".join(getattr(each, "text", "#") for each in cell) for cell in row.cells)]
        for row in table.rows
    ]
    assert said == [
        ["b", "# → #", "question: b?", "answer: 1.0 → 0.0; read:  → it"],
        ["a", "# → #", "question: a?", "answer: 0.0 → 0.5; read:  → it"],
    ]


def test_of_many_changed_items_the_largest_changes_are_shown() -> None:
    many = {str(number): 0.1 for number in range(SHOWN + 5)}
    (details,) = changed(answers(BEFORE, dict.fromkeys(many, 0.0)), answers(AFTER, many | {"7": 1.0}))
    assert details.summary == "55 items on which after and the baseline differ (the 50 largest changes)"
    (table,) = details.blocks
    assert isinstance(table, Table)
    assert (len(table.rows), table.rows[0].name) == (SHOWN, "7")


def test_items_that_are_alike_or_say_nothing_are_not_listed() -> None:
    alike = {"a": 1.0}
    assert changed(answers(BEFORE, alike), answers(AFTER, alike)) == []
    assert changed(result(BEFORE, [1, 0]), result(AFTER, [0, 1])) == []
