"""MMVP's figures, from the answers to both pictures of each pair."""

from collections.abc import Sequence

from diva.results import Item
from diva_downstream.llava.evaluation.scored import ALL, UNREAD, Answered, Scored, share
from diva_downstream.llava.tasks.letters import read_letter
from diva_downstream.llava.tasks.mmvp import Half, options_of, pair_outcomes
from diva_downstream.llava.tasks.source import Document

HEADLINE, QUESTIONS = "pairs", "questions"


def pair_name(document: Document) -> str:
    """Return the name of a document's pair: the numbers of both pictures."""
    return f"{2 * document['pair'] - 1}-{2 * document['pair']}"


def score(answered: Sequence[Answered]) -> Scored:
    """Return the share of pairs with both pictures right, and that of pictures.

    An item is a pair; its details hold question, answers and labels of both pictures.
    """
    letters = [read_letter(answer, options_of(document)) for document, answer in answered]
    right = [letter == each.document["answer"] for letter, each in zip(letters, answered, strict=True)]
    halves = [Half(each.document["pair"], outcome) for each, outcome in zip(answered, right, strict=True)]
    details: dict[int, dict[str, float | str | list[int]]] = {}
    names = {document["pair"]: pair_name(document) for document, _ in answered}
    for (document, answer), letter in zip(answered, letters, strict=True):
        of_pair = details.setdefault(document["pair"], {"question": document["question"]})
        number = document["number"]
        of_pair |= {f"options {number}": document["options"], f"answer {number}": answer}
        of_pair |= {f"read {number}": letter or "", f"right {number}": document["answer"]}
    outcomes = pair_outcomes(halves)
    items = [
        Item(id=names[pair], group=ALL, outcome=float(both), details=details[pair])
        for pair, both in outcomes.items()
    ]
    metrics = {
        HEADLINE: share([item.outcome for item in items]),
        QUESTIONS: share([float(each) for each in right]),
        UNREAD: share([float(letter is None) for letter in letters], higher_is_better=False),
    }
    return Scored(metrics, items)
