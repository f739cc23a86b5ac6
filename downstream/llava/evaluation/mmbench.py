"""MMBench's figures, overall and by category, from the answers to every rotation."""

from collections.abc import Iterator, Sequence

from diva.evaluation.comparison import compare
from diva.results import Comparison, Item, Metric, Result
from diva_downstream.llava.evaluation.scored import ALL, UNREAD, Answered, Scored, share
from diva_downstream.llava.tasks.letters import read_letter
from diva_downstream.llava.tasks.mmbench import CIRCULAR, circular_outcomes, options_of, rotation_of

HEADLINE, SINGLE = "circular", "single-pass"
LEVELS = {"category": "category", "l2-category": "l2_category"}


def score(answered: Sequence[Answered]) -> Scored:
    """Return CircularEval and single-pass accuracy, and the share of answers that no rule could read.

    An item is a question; its outcome is 1 if every rotation is right, and its details hold every answer. A
    question that was not asked in all its rotations is in neither. Where no question can be scored, as in the test
    split, whose right answers are not public, there is no figure at all.
    """
    letters = [read_letter(answer, options_of(document)) for document, answer in answered]
    unread = share([float(letter is None) for letter in letters], higher_is_better=False)
    rotations = [
        rotation_of(each.document, letter)
        for each, letter in zip(answered, letters, strict=True)
        if each.document["answer"]
    ]
    items = list(_items(answered, circular_outcomes(rotations)))
    return Scored(_metrics(items) | {UNREAD: unread} if items else {}, items)


def comparisons(result: Result, baseline: Result) -> list[Comparison]:
    """Compare two results question by question, in CircularEval and in single-pass accuracy.

    Raises:
        InputError: they were not measured alike.
    """
    single = compare(_single_pass(result), _single_pass(baseline), SINGLE)
    return [compare(result, baseline, HEADLINE), single]


def _metrics(items: Sequence[Item]) -> dict[str, Metric]:
    overall = {HEADLINE: share(_circular(items)), SINGLE: share(_single(items))}
    for level in LEVELS:
        for name in dict.fromkeys(str(item.details[level]) for item in items):
            chosen = [item for item in items if item.details[level] == name]
            if name:
                overall[f"{HEADLINE}/{level}/{name}"] = share(_circular(chosen), breakdown=level)
                overall[f"{SINGLE}/{level}/{name}"] = share(_single(chosen), breakdown=level)
    return overall


def _circular(items: Sequence[Item]) -> list[float]:
    return [item.outcome for item in items]


def _single(items: Sequence[Item]) -> list[float]:
    return [item.number(SINGLE) for item in items]


def _single_pass(result: Result) -> Result:
    items = [item.model_copy(update={"outcome": item.number(SINGLE)}) for item in result.items]
    return result.model_copy(update={"items": items})


def _items(answered: Sequence[Answered], outcomes: dict[int, bool]) -> Iterator[Item]:
    groups: dict[int, list[Answered]] = {}
    for each in answered:
        groups.setdefault(each.document["group"], []).append(each)
    for question, right in outcomes.items():
        group = groups[question]
        first = min((document for document, _ in group), key=lambda document: document["index"])
        details: dict[str, float | str | list[int]] = {level: first[field] for level, field in LEVELS.items()}
        details["question"] = first["question"]
        for document, answer in group:
            letter = read_letter(answer, options_of(document)) or ""
            if document is first:
                details[SINGLE] = float(letter == document["answer"])
            turn = (document["index"] - first["index"]) // CIRCULAR
            details |= {f"answer {turn}": answer, f"read {turn}": letter, f"right {turn}": document["answer"]}
        yield Item(id=str(question), group=ALL, outcome=float(right), details=details)
