"""Which towers the results are of, and which of them is the baseline."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.report.content import Tower
from diva.results import Result, Subject


def columns(results: Sequence[Result]) -> tuple[list[Tower], str]:
    """Return the towers, the baseline first, and what is to be said about the choice of the baseline.

    A tower is known by its checkpoint's hash, however its label reads. The baseline is the tower that most results
    name as theirs; where none does, the first tower given.
    """
    subjects: dict[str, Subject] = {}
    for result in results:
        subjects.setdefault(result.subject.sha256, result.subject)
    baseline, note = _baseline(results, list(subjects))
    labels = Counter(subject.label for subject in subjects.values())
    towers = [
        Tower(
            # two checkpoints of one name must not look alike
            label=subject.label if labels[subject.label] == 1 else f"{subject.label} #{sha256[:8]}",
            role="baseline" if sha256 == baseline else "tower",
            architecture=subject.architecture,
            source=subject.source,
            sha256=sha256,
            recipe=subject.recipe,
            share=subject.share,
        )
        for sha256, subject in subjects.items()
    ]
    return sorted(towers, key=lambda tower: tower.role != "baseline"), note


def _baseline(results: Sequence[Result], hashes: Sequence[str]) -> tuple[str | None, str]:
    if not hashes:
        return None, "There is no result file."
    if len(hashes) == 1:
        return None, "There is no second tower, so nothing is compared."
    named = Counter(result.baseline.subject.sha256 for result in results if result.baseline)
    if not named:
        return hashes[0], "No result names a baseline; the first tower given stands in for it."
    several = "The results name several baselines; every difference is from the one that most of them name."
    return named.most_common(1)[0][0], several if len(named) > 1 else ""
