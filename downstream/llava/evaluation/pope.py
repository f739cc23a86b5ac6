"""POPE's figures, by LLaVA's reading of the answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diva.evaluation.statistics import CONFIDENCE, RESAMPLES, SEED, Interval
from diva.results import Item, Metric
from diva_downstream.llava.evaluation.scored import ALL, UNREAD, Answered, Scored, share
from diva_downstream.llava.tasks.pope import RATIOS, Counts, count, is_unread, says_yes

HEADLINE = "accuracy"
Columns = NDArray[np.float64]


def score(answered: Sequence[Answered]) -> Scored:
    """Return accuracy, F1, precision, recall, the share of yeses, and that of answers which are a yes by default.

    An item is a question; its details hold the answer. F1, precision and recall are left out where there is nothing
    to divide by; their intervals are those of the bootstrap over the questions.
    """
    items = [_item(*each) for each in answered]
    said = [says_yes(answer) for _, answer in answered]
    counts = count([(yes, each.document["label"] == "yes") for yes, each in zip(said, answered, strict=True)])
    ratios = {name: _ratio(name, counts) for name in RATIOS}
    metrics = {
        HEADLINE: share([item.outcome for item in items]),
        **{name: metric for name, metric in ratios.items() if metric},
        "yes-share": share([float(yes) for yes in said]),
        UNREAD: share([float(is_unread(answer)) for _, answer in answered], higher_is_better=False),
    }
    return Scored(metrics, items)


def _item(document: dict[str, object], answer: str) -> Item:
    label, said = str(document["label"]), "yes" if says_yes(answer) else "no"
    details: dict[str, float | str | list[int]] = {"question": str(document["question"]), "answer": answer}
    return Item(
        id=str(document["line"]),
        group=ALL,
        outcome=float(label == said),
        details=details | {"read": said, "right": label},
    )


def _ratio(name: str, counts: Counts) -> Metric | None:
    columns = np.array(counts, dtype=np.float64)
    part, whole = RATIOS[name](*columns)
    if not whole:
        return None
    low, high = _interval(name, columns)
    n = int(columns.sum())
    return Metric(value=float(100 * part / whole), unit="percent", n=n, interval=(100 * low, 100 * high))


def _interval(name: str, counts: Columns) -> Interval:
    n = int(counts.sum())
    drawn = np.random.default_rng(SEED).multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
    part, whole = RATIOS[name](*drawn.T)
    kept = whole > 0  # a resample without a yes has no precision
    low, high = np.quantile(part[kept] / whole[kept], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
