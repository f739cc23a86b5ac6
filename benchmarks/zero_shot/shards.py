"""Reading a split of clip-benchmark's webdatasets: where its images lie, and the label beside each.

A tar is walked header by header, so the images' bytes are read only when a tower shall see them. webdataset's own
iterator takes a broken header for the end of the archive; here a tar that is cut short is an error.
"""

import tarfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from webdataset.tariterators import base_plus_ext

from benchmarks.stored_image import EXTENSIONS, StoredImage
from diva.errors import InputError

COUNT = "nshards.txt"


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


def shard_paths(split: Path) -> list[Path]:
    """Return the tars of a split, of which `nshards.txt` gives the number.

    Raises:
        InputError: the number is missing or unreadable, or is not that of the tars.
    """
    path = split / COUNT
    try:
        count = int(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: holds no number of shards ({error}); fetch the data set again") from error
    expected = [split / f"{number}.tar" for number in range(count)]
    strange = set(expected) ^ set(split.glob("*.tar"))
    if strange or not expected:
        names = ", ".join(sorted(shard.name for shard in strange)) or "0.tar"
        raise InputError(
            f"{path}: says {count} shards, which disagrees with the tars beside it ({names}); fetch the data set"
            " again"
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
    try:
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
            _check_end(tar)
            parted = [(*base_plus_ext(member.name), member) for member in members if member.isfile()]
            samples = []
            for key, group in groupby(parted, lambda each: each[0]):
                parts = {(extension or "").lower(): member for _, extension, member in group}
                image = next((parts[name] for name in EXTENSIONS if name in parts), None)
                if image is None and label not in parts:
                    continue  # neither: a note beside the samples
                if image is None or label not in parts:
                    missing = f"no .{label}" if image else f"no image ({', '.join(EXTENSIONS)})"
                    raise InputError(f"{path}: {key}: has {missing}; {_remedy(label)}")
                samples.append(
                    Sample(
                        id=f"{path.stem}/{key}",
                        image=StoredImage(path, image.name, image.offset_data, image.size),
                        label=_content(tar, parts[label]),
                        place=f"{path}: {parts[label].name}",
                    )
                )
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: is damaged or cut short ({error}); fetch the data set again") from error
    return samples


def _check_end(tar: tarfile.TarFile) -> None:
    assert tar.fileobj is not None  # it is open
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"no header and no end mark at byte {tar.offset}")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def _remedy(label: str) -> str:
    kind = (
        "" if label == "txt" else "; dataset_type.txt says 'retrieval' or 'multilabel' where the labels are others"
    )
    return f"fetch the data set again{kind}"
