"""Measuring one tower, or two side by side, on one set."""

from collections.abc import Sequence
from pathlib import Path

from diva.errors import InputError
from diva.evaluation.comparison import compare
from diva.results import Clock, Comparison, Result, Subject, read_result
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.subject import subject_of
from diva_benchmarks.zero_shot.classification import classify
from diva_benchmarks.zero_shot.classifier import zero_shot_classifier
from diva_benchmarks.zero_shot.data import Captions, ManyLabels, SetData
from diva_benchmarks.zero_shot.measured import Measured, quantile_interval
from diva_benchmarks.zero_shot.multilabel import rank_classes
from diva_benchmarks.zero_shot.retrieval import retrieve

TASK = "zero-shot"


def evaluate_set(encoders: Sequence[Encoder], data: SetData) -> Result:
    """Measure the first tower on `data` and, where there is a second, compare it with that one, its baseline.

    Returns:
        The result of the set. Its headline, in percent, is what the items' outcomes average to; it is also what the
        comparison is of.

    Raises:
        InputError: an image cannot be decoded.
        RunError: the device's memory or the cache does not hold the embeddings.
    """
    measured, results = [], []
    for encoder in encoders:
        clock = Clock([], str(encoder.device))
        found = _measure(encoder, data)
        measured.append(found)
        results.append(
            Result(
                task=TASK,
                part=data.spec.name,
                headline=data.headline,
                subject=subject_of(encoder.clip),
                data=data.source,
                metrics=found.metrics,
                items=found.items,
                run=clock.stop(),
            )
        )
    result, *baselines = results
    for baseline in baselines:
        result.baseline = baseline
        result.comparisons = [_compare(results, measured)]
    return result


def kept_result(path: Path, subjects: Sequence[Subject], data: SetData) -> Result | None:
    """Return the result in `path` if it is of these towers on these data, or None."""
    if not path.is_file():
        return None
    try:
        result = read_result(path)
    except InputError:
        return None  # of an older schema, or damaged: measured again
    towers = [each.subject for each in (result, result.baseline) if each is not None]
    same = (result.task, result.part, result.headline, result.data.fingerprint) == (
        TASK,
        data.spec.name,
        data.headline,
        data.source.fingerprint,
    )
    return result if same and towers == list(subjects) else None


def _measure(encoder: Encoder, data: SetData) -> Measured:
    title = data.spec.name
    embeddings = encoder.images(data.images, data.fingerprint, title)
    if isinstance(data.truth, Captions):
        captions = [caption for each in data.truth.captions for caption in each]
        return retrieve(embeddings, encoder.texts(captions, title), data.truth, data.ids)
    classifier = zero_shot_classifier(encoder, data.truth.prompts, title)
    if isinstance(data.truth, ManyLabels):
        return rank_classes(embeddings, classifier, data.truth)
    return classify(embeddings, classifier, data.truth, data.ids, data.headline)


def _compare(results: Sequence[Result], measured: Sequence[Measured]) -> Comparison:
    comparison = compare(results[0], results[1], results[0].headline)
    ours, theirs = (each.draws for each in measured)
    if ours is not None and theirs is not None:
        low, high = quantile_interval(ours - theirs)
        comparison.interval = (100 * low, 100 * high)
    return comparison
