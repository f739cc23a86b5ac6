"""Which towers the results are of, and which of them is the baseline."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePath

from diva.evaluation.measures import Tower
from diva.results import Result, Subject

NO_PATH = re.compile(r"^hf-hub:| \(")  # a repository, or a name with its weights in brackets
# what programs call every tower's folder and weights: `diva train`, open_clip, transformers
NAMELESS = re.compile(r"tower|(open_clip_)?(pytorch_)?model\.(safetensors|bin|pt)(\.index\.json)?")


def columns(results: Sequence[Result]) -> tuple[list[Tower], str]:
    """Return the towers, the baseline first, and what is to be said about the choice of the baseline.

    A tower is known by its checkpoint's hash, however its label reads. The baseline is the tower that most results
    name as theirs; where none does, the first tower given.
    """
    subjects: dict[str, Subject] = {}
    for result in results:
        subjects.setdefault(result.subject.sha256, result.subject)
    baseline, note = _baseline(results, list(subjects))
    short = short_labels({subject.label for subject in subjects.values()})
    labels = Counter(subject.label for subject in subjects.values())
    towers = [
        Tower(
            # two checkpoints of one name must not look alike
            label=short[subject.label] + ("" if labels[subject.label] == 1 else f" #{sha256[:8]}"),
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


def short_labels(labels: Collection[str]) -> dict[str, str]:
    """Return each label, of a path only as many of its last parts as tell it from the others.

    What says nothing at a path's end is left away as long as no two labels become alike: the name that every run
    gives its tower's folder, and the names that libraries give weights files. The whole path stands on the
    reproducibility page.
    """
    paths = {label: PurePath(label).parts for label in labels if "/" in label and not NO_PATH.search(label)}
    told = {label: _telling(parts) for label, parts in paths.items()}
    if len(set(told.values())) == len(told):
        paths = told
    taken = {(label.split(" (")[0],) for label in labels if label not in paths}

    def short(label: str) -> str:
        if label not in paths:
            return label
        lengths = range(1, len(paths[label]) + 1)
        others = [path for other, path in paths.items() if other != label]
        unique = (
            n
            for n in lengths
            if paths[label][-n:] not in taken and paths[label][-n:] not in [path[-n:] for path in others]
        )
        return "/".join(paths[label][-next(unique, len(paths[label])) :])

    return {label: short(label) for label in labels}


def _telling(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[:-1] if NAMELESS.fullmatch(parts[-1]) and len(parts) > 1 else parts


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
