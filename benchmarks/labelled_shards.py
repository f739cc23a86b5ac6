"""Reading a split of clip-benchmark's webdatasets: where its images lie, and the label beside each.

A tar is walked header by header, so the images' bytes are read only when a tower shall see them. All its samples
are read, or it is an error: a benchmark does not measure a part.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from tarfile import TarInfo
from typing import NamedTuple

from webdataset.tariterators import base_plus_ext

from diva.data.raw import FileSlice
from diva.data.shards import extends, is_tar, stem_of
from diva.data.tar import Hole, members
from diva.documents import read_file
from diva.errors import Damaged, Invalid, Unsafe
from diva.images import SUFFIXES, UnusableError, suffix_of
from diva_benchmarks.stored_image import StoredImage

COUNT = "nshards.txt"
DIGITS = 9  # of a label; Python refuses to read numbers of thousands


class Sample(NamedTuple):
    """One image and its undecoded label.

    Attributes:
        id: the tar's number and the sample's key.
        place: the tar and the member of the label, for errors.
    """

    id: str
    image: StoredImage
    label: bytes
    place: str


def has_shards(split: Path) -> bool:
    """Tell whether a split lies in tars."""
    return any(split.glob("*.[tT][aA][rR]")) or (split / COUNT).exists()


def read_number(sample: Sample) -> int | None:
    """Return the number of a sample's class; None where its label is not one."""
    text = sample.label.decode(errors="replace").strip()
    return int(text) if text.isdecimal() and len(text) <= DIGITS else None


def shard_paths(split: Path) -> list[Path]:
    """Return the tars of a split, of which `nshards.txt` gives the number.

    Raises:
        InputError: the number is missing or unreadable, or is not that of the tars.
    """
    path = split / COUNT
    try:
        count = int(read_file(path))
    except ValueError as error:
        raise Damaged(path, f"does not contain a number of shards ({error}); fetch the data set again") from error
    there = {shard for shard in split.iterdir() if is_tar(shard.name)}
    expected = [split / f"{number}.tar" for number in range(min(count, len(there) + 1))]
    strange = there.symmetric_difference(expected)
    if strange or not expected:
        names = ", ".join(sorted(shard.name for shard in strange)) or "0.tar"
        raise Damaged(
            path,
            f"says {count} shards, which disagrees with the tars beside it ({names}); fetch the data set again",
        )
    return expected


def read_shards(paths: Sequence[Path], label: str) -> list[Sample]:
    """Return the samples of several tars, in their order.

    Args:
        label: the extension of the labels, such as "cls".

    Raises:
        InputError: a tar is damaged, or an image or a label is missing; the sentence names the tar and the key.
    """
    return [sample for path in paths for sample in _read_shard(path, label)]


def _read_shard(path: Path, label: str) -> list[Sample]:
    holes: list[Hole] = []
    try:
        found = list(members(path, holes))
    except OSError as error:
        raise Damaged(path, f"cannot be read ({error}); fetch the data set again") from error
    if holes:
        raise Damaged(path, f"is damaged or truncated ({holes[0].reason}); fetch the data set again")
    groups = groupby(found, lambda member: base_plus_ext(member.name)[0])
    return [sample for _, group in groups for sample in _samples(path, group, label)]


def _samples(path: Path, group: Iterable[TarInfo], label: str) -> Iterator[Sample]:
    """Yield the samples among members of one webdataset key.

    webdataset splits a name at its first dot, and so takes `img.1.jpg` and `img.2.jpg` for two parts of one sample.
    Here the last dot counts; `img.mask.png` belongs to a sample `img`, where there is one.
    """
    parts: dict[str, dict[str, TarInfo]] = {}
    for member in group:
        suffix = suffix_of(member.name)
        if suffix not in parts.setdefault(stem_of(member.name), {}):
            parts[stem_of(member.name)][suffix] = member
        elif suffix == label or suffix in SUFFIXES:
            raise Damaged(path, member.name, "appears twice; write the shards again")
    images = {key: next((of[suffix] for suffix in SUFFIXES if suffix in of), None) for key, of in parts.items()}
    complete = {key for key, of in parts.items() if images[key] and label in of}
    for key, of in parts.items():
        image = images[key]
        if (image is None and label not in of) or extends(key, complete):
            continue  # a note beside the samples, or more of one of them
        if image is None or label not in of:
            missing = f"no .{label}" if image else f"no image ({', '.join(SUFFIXES)})"
            raise Invalid(path, key, f"has {missing}; {_remedy(label)}")
        for member in (image, of[label]):
            if not member.isreg() or member.issparse():
                raise Unsafe(
                    path, member.name, "is a link or special file; write the shards with regular files only"
                )
        yield Sample(
            id=f"{path.stem}/{key}",
            image=StoredImage(path, image.name, image.offset_data, image.size),
            label=_content(path, of[label]),
            place=f"{path}: {of[label].name}",
        )


def _content(path: Path, member: TarInfo) -> bytes:
    try:
        return FileSlice(member.name, str(path), member.offset_data, member.size).load()
    except UnusableError as error:
        raise Damaged(path, member.name, f"cannot be read ({error}); fetch the data set again") from error


def _remedy(label: str) -> str:
    kind = (
        ""
        if label == "txt"
        else "; if the labels are of another kind, put 'retrieval' or 'multilabel' into dataset_type.txt"
    )
    return f"fetch the data set again{kind}"
