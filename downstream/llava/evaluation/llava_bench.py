"""LLaVA-Bench's relative score: our answers' mean score over the reference answers', by the same judge."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diva.atomic import replacing
from diva.evaluation.statistics import CONFIDENCE, RESAMPLES, SEED, Interval, swap_test
from diva.progress import steps
from diva.results import Comparison, Item, Metric, Result
from diva_downstream.llava.evaluation.judge import Judge
from diva_downstream.llava.evaluation.reviews import Review, Reviews, Rules
from diva_downstream.llava.evaluation.scored import ALL, Answered, Scored, share
from diva_downstream.llava.tasks.llava_bench import CATEGORIES
from diva_downstream.llava.tasks.source import Document

HEADLINE, PARSED, UNPARSABLE = "relative", "relative, parsed reviews only", "unparsable"
TEN = 10.0  # the highest score

Scores = NDArray[np.float64]


def judge_all(answered: Sequence[Answered], judge: Judge, rules: Rules, reviews: Reviews) -> list[Review]:
    """Return the review of every answer, in order; those that `reviews` knows are not asked for again.

    Raises:
        RunError: the judge cannot be asked; what it said so far is kept.
    """
    return [reviews.of(each, judge, rules) for each in steps(answered, "LLaVA-Bench: reviews")]


def score(answered: Sequence[Answered], reviews: Sequence[Review]) -> Scored:
    """Return the relative score, 100 times the mean of our scores over that of the reference answers'.

    As in LLaVA's own summary, a review without two scores counts −1 for both and stays in the means; their share is
    given, and the score without them. Where a mean is no divisor its score is left out, and where no review has
    scores there is no figure at all: the official mean would be a perfect 100.
    An item is a question; its outcome is our score out of ten.
    """
    items = [_item(*each) for each in zip(answered, reviews, strict=True)]
    relative = {HEADLINE: _relative(reviews), PARSED: _relative([each for each in reviews if each.parsed])}
    for category in CATEGORIES:
        of_category = zip(answered, reviews, strict=True)
        chosen = [review for each, review in of_category if each.document["category"] == category]
        relative[f"{HEADLINE}/{category}"] = _relative(chosen, breakdown="category")
    metrics = {name: metric for name, metric in relative.items() if metric}
    if HEADLINE not in metrics:
        return Scored({}, items)
    unparsable = share([float(not review.parsed) for review in reviews], higher_is_better=False)
    return Scored(metrics | {UNPARSABLE: unparsable}, items)


def comparisons(result: Result, baseline: Result) -> list[Comparison]:
    """Compare the relative scores of two results on the same questions; none where one of them has no score.

    The interval is the bootstrap's over the questions, of both results at once; the test swaps reviews between the
    two. Questions are won and lost by the score of our answers.
    """
    if HEADLINE not in result.metrics or HEADLINE not in baseline.metrics:
        return []
    ours, theirs = (_scores_of(each, [item.id for item in baseline.items]) for each in (result, baseline))
    drawn = _drawn(len(ours))
    low, high = _quantiles(_ratio(ours[drawn]) - _ratio(theirs[drawn]))
    better = ours[:, 1] - theirs[:, 1]
    return [
        Comparison(
            metric=HEADLINE,
            difference=result.metrics[HEADLINE].value - baseline.metrics[HEADLINE].value,
            interval=(low, high),
            test="swap test",
            p_value=swap_test(ours, theirs, _ratio_of_sums),
            wins=int(np.sum(better > 0)),
            losses=int(np.sum(better < 0)),
        )
    ]


def write_answers(answered: Sequence[Answered], model: str, path: Path) -> None:
    """Write the answers as LLaVA's own evaluation does, one JSON object a line.

    Raises:
        RunError: the place cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text("".join(_line(*each, model) for each in answered), encoding="utf-8")


def _line(document: Document, answer: str, model: str) -> str:
    number = document["question_id"]
    fields = {"question_id": int(number) if number.isdecimal() else number, "prompt": document["question"]}
    fields |= {"text": answer, "answer_id": f"{model}-{number}", "model_id": model, "metadata": {}}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _item(answered: Answered, review: Review) -> Item:
    document, answer = answered
    details: dict[str, float | str | list[int]] = {
        "category": document["category"],
        "question": document["question"],
        "answer": answer,
        "review": review.content,
        "score": review.ours,
        "score of the reference": review.reference,
    }
    return Item(id=document["question_id"], group=ALL, outcome=review.ours / TEN, details=details)


def _scores_of(result: Result, order: Sequence[str]) -> Scores:
    by_id = {item.id: (item.details["score of the reference"], item.details["score"]) for item in result.items}
    return np.array([by_id[name] for name in order], dtype=np.float64)


def _relative(reviews: Sequence[Review], *, breakdown: str = "") -> Metric | None:
    scores = np.array([(review.reference, review.ours) for review in reviews]).reshape(-1, 2)
    if len(scores) == 0 or scores[:, 0].mean() <= 0:
        return None
    interval = _quantiles(_ratio(scores[_drawn(len(scores))]))
    value = float(_ratio(scores))
    return Metric(value=value, unit="score", n=len(scores), interval=interval, breakdown=breakdown)


def _ratio(scores: Scores) -> Scores:
    """Return the relative score of [..., n questions, (reference, ours)]; NaN where a resample has no divisor."""
    reference, ours = scores.mean(-2)[..., 0], scores.mean(-2)[..., 1]
    return np.where(reference > 0, 100 * ours / np.where(reference > 0, reference, 1), np.nan)


def _ratio_of_sums(sums: Scores) -> Scores:
    return _ratio(sums[..., None, :])


def _drawn(n: int) -> NDArray[np.int64]:
    return np.random.default_rng(SEED).integers(n, size=(RESAMPLES, n))


def _quantiles(draws: Scores) -> Interval:
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
