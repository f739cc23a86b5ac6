"""MME's official totals, from the answers to both questions about each picture."""

from collections.abc import Sequence

from diva.evaluation.comparison import compare
from diva.evaluation.statistics import mean_interval
from diva.results import Comparison, Item, Metric, Result
from diva_downstream.llava.evaluation.graded import answers_by_unit, grades_of
from diva_downstream.llava.evaluation.scored import UNREAD, Answered, Scored, share
from diva_downstream.llava.tasks.mme import BENCHMARK, POINTS, TASKS, total

HEADLINE = next(iter(TASKS))
FULL = 2 * POINTS  # of a task


def score(answered: Sequence[Answered]) -> Scored:
    """Return the totals of perception and cognition, each task's score, and the share of unread answers.

    An item is a picture; its outcome is its part of its task's score, of 1: half for the answers that are right,
    half if both are. Where no task of a kind was asked, its total is left out.
    """
    read = [BENCHMARK.read(*each) for each in answered]
    right = [said == each.document["right"] for said, each in zip(read, answered, strict=True)]
    questions, pictures = (grades_of(name, answered, right) for name in ("question", "picture"))
    details = answers_by_unit("picture", answered, read)
    of_picture: dict[str, list[bool]] = {}
    for grade in pictures:
        of_picture.setdefault(grade.unit, []).append(grade.right)
    groups = {grade.unit: grade.group for grade in pictures}
    items = [
        Item(id=unit, group=groups[unit], outcome=_part(each), details=details[unit])
        for unit, each in of_picture.items()
    ]
    metrics = {}
    for kind in TASKS:
        if chosen := _of_kind(items, kind):
            metrics[kind] = _metric(chosen, total(kind, questions, pictures))
    for task in dict.fromkeys(groups.values()):
        chosen = [item for item in items if item.group == task]
        value = FULL * sum(item.outcome for item in chosen) / len(chosen)
        metrics[f"task/{task}"] = _metric(chosen, value, breakdown="task")
    unread = share([float(said is None) for said in read], higher_is_better=False)
    return Scored(metrics | {UNREAD: unread}, items)


def comparisons(result: Result, baseline: Result) -> list[Comparison]:
    """Compare two results picture by picture, in each total that both have.

    Raises:
        InputError: they were not measured alike.
    """
    found = []
    for kind in TASKS:
        if kind in result.metrics and kind in baseline.metrics:
            ours, theirs = (
                each.model_copy(update={"items": _of_kind(each.items, kind)}) for each in (result, baseline)
            )
            shares = compare(ours, theirs, kind)
            scale = FULL * len({item.group for item in ours.items})
            low, high = shares.interval or (0.0, 0.0)
            scaled = {"difference": scale * shares.difference, "interval": (scale * low, scale * high)}
            found.append(shares.model_copy(update=scaled))
    return found


def _part(right: Sequence[bool]) -> float:
    return (sum(right) / len(right) + all(right)) / 2


def _of_kind(items: Sequence[Item], kind: str) -> list[Item]:
    return [item for item in items if item.group in TASKS[kind]]


def _metric(items: Sequence[Item], value: float, *, breakdown: str = "") -> Metric:
    groups = [item.group for item in items]
    low, high = mean_interval([item.outcome for item in items], groups)
    scale = FULL * len(set(groups))
    return Metric(
        value=value, unit="score", n=len(items), interval=(scale * low, scale * high), breakdown=breakdown
    )
