"""Which towers the results are of, in which order, and which of them is the baseline."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePath
from typing import Literal, NamedTuple

from diva.evaluation.measures import Tower
from diva.results import Result, Subject

NO_PATH = re.compile(r"^hf-hub:| \(")  # a repository, or a name with its weights in brackets
# what programs call every tower's folder and weights: `diva train`, open_clip, transformers
ROLES = ("baseline", "tower", "control")  # in the order of the columns
NAMELESS = re.compile(r"tower|(open_clip_)?(pytorch_)?model\.(safetensors|bin|pt)(\.index\.json)?")


class Origin(NamedTuple):
    """A step of a run: its folder as the run's commands spell it, whether it makes a control, and its seconds."""

    folder: PurePath
    control: bool
    seconds: float | None = None


def columns(results: Sequence[Result], origins: Sequence[Origin] = ()) -> tuple[list[Tower], str]:
    """Return the towers, and what is to be said about the choice of the baseline.

    A tower is known by its checkpoint's hash, however its label reads. The baseline is the tower that most results
    name as theirs; where none does, the first tower given. It comes first, controls come last, and the others stand
    in the order of the steps that made them.
    """
    subjects: dict[str, Subject] = {}
    for result in results:
        before = subjects.get(result.subject.sha256)
        # where it was measured inside another model, nothing is known of its training
        if before is None or (before.recipe is None and result.subject.recipe is not None):
            subjects[result.subject.sha256] = result.subject
    baseline, note = _baseline(results, list(subjects))
    short = short_labels({subject.label for subject in subjects.values()})
    labels = Counter(subject.label for subject in subjects.values())
    made = {sha256: step_of(subject.source, origins) for sha256, subject in subjects.items()}

    def role(sha256: str) -> Literal["baseline", "tower", "control"]:
        step = made[sha256]
        if sha256 == baseline:
            return "baseline"
        return "tower" if step is None or not origins[step].control else "control"

    towers = [
        Tower(
            # two checkpoints of one name must not look alike
            label=short[subject.label] + ("" if labels[subject.label] == 1 else f" #{sha256[:8]}"),
            role=role(sha256),
            architecture=subject.architecture,
            source=subject.source,
            sha256=sha256,
            recipe=subject.recipe,
            share=subject.share,
        )
        for sha256, subject in subjects.items()
    ]

    def place(tower: Tower) -> tuple[int, int]:
        step = made[tower.sha256]
        return ROLES.index(tower.role), len(origins) if step is None else step

    return sorted(towers, key=place), note


def step_of(source: str, origins: Iterable[Origin]) -> int | None:
    """Return the place among `origins` of the step in whose folder a tower's `source` lies; None without one."""
    places = (place for place, origin in enumerate(origins) if PurePath(source).is_relative_to(origin.folder))
    return next(places, None)


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
