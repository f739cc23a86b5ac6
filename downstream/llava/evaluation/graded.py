"""Figures of benchmarks whose questions have one right answer each."""

from collections.abc import Sequence

from diva.evaluation.statistics import mean_interval
from diva.results import Item, Metric
from diva_downstream.llava.evaluation.scored import UNREAD, Answered, Scored, share
from diva_downstream.llava.tasks.graded import Grade, Graded, units
from diva_downstream.llava.tasks.graded import share as mean_share

Details = dict[str, float | str | list[int]]


def score(benchmark: Graded, answered: Sequence[Answered]) -> Scored:
    """Return the share of right units for each figure, the headline by what it asks about, and what went unread.

    An item is a unit of the headline; its details hold questions and answers.
    """
    read = [benchmark.read(*each) for each in answered]
    right = [said == each.document["right"] for said, each in zip(read, answered, strict=True)]
    metrics = {name: figure(grades_of(name, answered, right)) for name in benchmark.figures}
    headline = benchmark.figures[0]
    for about in dict.fromkeys(document["about"] for document, _ in answered):
        chosen = [
            float(each) for each, (document, _) in zip(right, answered, strict=True) if document["about"] == about
        ]
        if about:
            metrics[f"{headline}/{about}"] = share(chosen, breakdown="about")
    unread = share([float(said is None) for said in read], higher_is_better=False)
    outcomes = units(grades_of(headline, answered, right))
    details = answers_by_unit(headline, answered, read)
    items = [
        Item(id=unit, group=group, outcome=float(each), details=details[unit])
        for (group, unit), each in outcomes.items()
    ]
    return Scored({**metrics, UNREAD: unread}, items)


def grades_of(name: str, answered: Sequence[Answered], right: Sequence[bool]) -> list[Grade]:
    """Return the grades of every question for the figure `name`."""
    pairs = zip(answered, right, strict=True)
    return [Grade(document["group"], document["units"][name], each) for (document, _), each in pairs]


def figure(given: Sequence[Grade]) -> Metric:
    """Return the mean of the groups' shares of right units, in percent: Wilson's interval of one group, else the
    bootstrap's.
    """
    found = units(given)
    outcomes, groups = [float(each) for each in found.values()], [group for group, _ in found]
    if len(set(groups)) == 1:
        return share(outcomes)
    low, high = mean_interval(outcomes, groups)
    interval = (100 * low, 100 * high)
    return Metric(value=100 * mean_share(given), unit="percent", n=len(outcomes), interval=interval)


def answers_by_unit(name: str, answered: Sequence[Answered], read: Sequence[str | None]) -> dict[str, Details]:
    """Return questions, answers and what was read, by the unit of the figure `name`."""
    found: dict[str, Details] = {}
    for (document, answer), said in zip(answered, read, strict=True):
        of_unit = found.setdefault(document["units"][name], {})
        number = len(of_unit) // 4
        of_unit |= {f"question {number}": document["prompt"], f"answer {number}": answer}
        of_unit |= {f"read {number}": said or "", f"right {number}": document["right"]}
    return found
