"""A set of images of one class each: those that a probe learns from, and those that it is measured on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from diva.errors import Damaged, Invalid, Mismatch, Missing
from diva_benchmarks.class_folders import read_class_folders, split_folder
from diva_benchmarks.fingerprint import fingerprint, hash_lines
from diva_benchmarks.labelled_shards import has_shards, read_number, read_shards, shard_paths
from diva_benchmarks.set_kind import LABELS, TYPE, read_kind
from diva_benchmarks.stored_image import StoredImage

TRAIN = "train"
FOLDS, LEAST = 5, 5  # images of a class that folds within folds can be made of
SEED = 0

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images with the names of their classes, and the files that they lie in."""

    images: list[StoredImage]
    labels: list[str]
    ids: list[str]
    files: list[Path]


@dataclass(frozen=True)
class ProbeSet:
    """A set; its N images are those of the training split, if there is one, and then those that are measured.

    Attributes:
        labels: the class of each image [N].
        trained: how many of them belong to the training split.
        ids: of the images that are measured.
    """

    folder: Path
    images: Sequence[StoredImage]
    labels: NDArray[np.str_]
    trained: int
    ids: Sequence[str]
    fingerprint: str

    @property
    def learnt_from(self) -> str:
        """Where the classes of the images come from that a probe learns from."""
        return "the training split" if self.trained else f"{FOLDS} folds"

    def splits(self) -> list[tuple[Indices, Indices]]:
        """Return pairs of the images that a probe learns from and those that it then answers.

        Every measured image is answered once, by a probe that has not seen it: one of the training split's, or,
        where there is none, of the other folds.
        """
        every = np.arange(len(self.labels))
        if self.trained:
            return [(every[: self.trained], every[self.trained :])]
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
        return list(folds.split(every, self.labels))


def read_set(folder: Path) -> ProbeSet:
    """Read the labels of a set in clip-benchmark's layout or in a folder for each class; no image is decoded.

    Images that are measured lie in `test` or `val`, or directly in `folder`; those of `train` are learnt from.

    Raises:
        InputError: files are missing or damaged, the set is of another kind, or a class has too few images to learn
            from.
    """
    kind = read_kind(folder)
    if kind != "classification":
        raise Mismatch(folder / TYPE, f"is '{kind}', and a probe needs one class for each image; give another set")
    where = folder / "test" if has_shards(folder / "test") else split_folder(folder)
    measured = _read_split(where)
    learnt = [_read_split(folder / TRAIN)] if (folder / TRAIN).is_dir() else []
    whole = [*learnt, measured]
    labels = np.array([label for split in whole for label in split.labels])
    trained = sum(len(split.labels) for split in learnt)
    files = list(dict.fromkeys(file for split in whole for file in split.files))
    _check_classes(folder, learnt[0].labels if learnt else measured.labels, measured.labels)
    return ProbeSet(
        folder=folder,
        images=[image for split in whole for image in split.images],
        labels=labels,
        trained=trained,
        ids=measured.ids,
        fingerprint=hash_lines([fingerprint(folder, files, None), *labels]),
    )


def _read_split(split: Path) -> Split:
    if not has_shards(split):
        names, images, numbers = read_class_folders(split)
        paths = [image.path for image in images]
        ids = [path.relative_to(split).as_posix() for path in paths]
        return Split(images, [names[number] for number in numbers], ids, paths)
    paths = shard_paths(split)
    samples = read_shards(paths, LABELS["classification"])
    if not samples:
        raise Damaged(split, "its shards contain no image; fetch the data set again")
    labels = []
    for sample in samples:
        number = read_number(sample)
        if number is None:
            raise Damaged(sample.place, "is not the number of a class; fetch the data set again")
        labels.append(str(number))
    return Split([sample.image for sample in samples], labels, [sample.id for sample in samples], paths)


def _check_classes(folder: Path, learnt: Sequence[str], measured: Sequence[str]) -> None:
    counts = Counter(learnt)
    strange = next((label for label in measured if label not in counts), None)
    if strange is not None:
        raise Missing(folder / TRAIN, f"has no image of class '{strange}', which is measured; add some")
    if len(counts) < 2:
        raise Invalid(folder, "has one class alone; give a set of two or more")
    label, least = min(counts.items(), key=lambda each: each[1])
    if least < LEAST:
        raise Mismatch(
            folder,
            f"class '{label}' has {least} image{'s' * (least != 1)} to learn from, and a probe needs"
            f" {LEAST}; add images, or a split {TRAIN}/ beside those that are measured",
        )
