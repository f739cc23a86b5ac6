"""One set as it lies on disk: its images, and what is true of them."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diva.errors import Damaged, Invalid
from diva.results import DataSource
from diva_benchmarks.class_folders import read_class_folders, split_folder
from diva_benchmarks.fingerprint import fingerprint, hash_lines
from diva_benchmarks.labelled_shards import Sample, has_shards, read_number, read_shards, shard_paths
from diva_benchmarks.set_kind import LABELS, Kind, read_kind
from diva_benchmarks.stored_image import StoredImage
from diva_benchmarks.zero_shot.prompts import Prompts, read_prompts
from diva_benchmarks.zero_shot.sets import Headline, ZeroShotSet


@dataclass(frozen=True)
class OneLabel:
    """Each image is of one class: labels [N] are its index."""

    prompts: Prompts
    labels: NDArray[np.int64]
    kind: Kind = "classification"


@dataclass(frozen=True)
class ManyLabels:
    """Each image shows some of the classes: labels [N, C] say which."""

    prompts: Prompts
    labels: NDArray[np.bool_]
    kind: Kind = "multilabel"


@dataclass(frozen=True)
class Captions:
    """Each image has one or more captions."""

    captions: tuple[tuple[str, ...], ...]
    kind: Kind = "retrieval"


@dataclass(frozen=True, kw_only=True)
class SetData:
    """A set.

    Attributes:
        images: N of them; ids: their names, unique within the set.
        fingerprint: of the files that the images lie in.
        truth: what is true of the images, in their order.
    """

    spec: ZeroShotSet
    folder: Path
    images: Sequence[StoredImage]
    ids: Sequence[str]
    fingerprint: str
    truth: OneLabel | ManyLabels | Captions

    @property
    def headline(self) -> Headline:
        """The figure that stands for the set."""
        return self.spec.headline_of(self.truth.kind)

    @property
    def source(self) -> DataSource:
        """The result file's record: other class names or templates make it other data."""
        prompts = (
            () if isinstance(self.truth, Captions) else (*self.truth.prompts.classes, *self.truth.prompts.templates)
        )
        return DataSource(
            name=self.spec.title,
            path=str(self.folder),
            fingerprint=hash_lines([self.fingerprint, self.truth.kind, *prompts]),
            items=len(self.images),
        )


def read_set(spec: ZeroShotSet, folders: Sequence[Path], cache: Path | None) -> SetData:
    """Read a set's labels and list its images; no image is decoded.

    Args:
        folders: where the set lies; one, or it is not clear which is meant.
        cache: a folder that remembers the fingerprints of files.

    Raises:
        InputError: files are missing, damaged, or do not agree with each other.
    """
    if len(folders) > 1:
        both = " and ".join(map(str, folders))
        raise Invalid(both, f"are both {spec.title}; move all but one out of --data")
    folder = folders[0]
    read = _from_shards if has_shards(folder / "test") else _from_class_folders
    return read(spec, folder, cache)


def _from_shards(spec: ZeroShotSet, folder: Path, cache: Path | None) -> SetData:
    paths, kind = shard_paths(folder / "test"), read_kind(folder)
    samples = read_shards(paths, LABELS[kind])
    twice = next((id_ for id_, count in Counter(each.id for each in samples).items() if count > 1), None)
    if twice is not None:
        raise Damaged(folder, f"has two samples called {twice} in one tar; write the shards again")
    if not samples:
        raise Damaged(folder, "its shards contain no image; fetch the data set again")
    return SetData(
        spec=spec,
        folder=folder,
        images=[each.image for each in samples],
        ids=[each.id for each in samples],
        fingerprint=fingerprint(folder, paths, cache),
        truth=_truth(spec, folder, kind, samples),
    )


def _from_class_folders(spec: ZeroShotSet, folder: Path, cache: Path | None) -> SetData:
    split = split_folder(folder)
    names, images, labels = read_class_folders(split)
    paths = [image.path for image in images]
    return SetData(
        spec=spec,
        folder=folder,
        images=images,
        ids=[path.relative_to(split).as_posix() for path in paths],
        fingerprint=fingerprint(folder, paths, cache),
        truth=OneLabel(read_prompts(spec, folder, names), np.array(labels)),
    )


def _truth(
    spec: ZeroShotSet, folder: Path, kind: Kind, samples: Sequence[Sample]
) -> OneLabel | ManyLabels | Captions:
    if kind == "retrieval":
        return Captions(tuple(_captions(sample) for sample in samples))
    prompts = read_prompts(spec, folder)
    classes = len(prompts.classes)
    if kind == "multilabel":
        return ManyLabels(prompts, np.stack([_flags(sample, classes) for sample in samples]))
    return OneLabel(prompts, np.array([_label(sample, classes) for sample in samples]))


def _captions(sample: Sample) -> tuple[str, ...]:
    try:
        lines = sample.label.decode().split("\n")  # and not at U+2028 and its like, which are part of a caption
    except UnicodeDecodeError as error:
        raise Damaged(sample.place, f"is not UTF-8 text ({error}); fetch the data set again") from error
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise Damaged(sample.place, "has no caption; fetch the data set again")
    return captions


def _label(sample: Sample, classes: int) -> int:
    number = read_number(sample)
    if number is None or number >= classes:
        text = sample.label.decode(errors="replace").strip()[:80]
        raise Invalid(
            sample.place,
            f"'{text}' is not a label of {classes} classes (0 to {classes - 1});"
            " check that the class names belong to these shards",
        )
    return number


def _flags(sample: Sample, classes: int) -> NDArray[np.bool_]:
    try:
        flags = np.load(io.BytesIO(sample.label), allow_pickle=False)
    except Exception as error:  # damaged arrays make numpy raise anything
        raise Damaged(sample.place, f"is not an array ({error}); fetch the data set again") from error
    if not isinstance(flags, np.ndarray) or flags.shape != (classes,) or not np.isin(flags, (0, 1)).all():
        raise Invalid(
            sample.place,
            f"must hold one 0 or 1 for each of {classes} classes; check that the class names belong"
            " to these shards",
        )
    return np.asarray(flags, dtype=bool)
