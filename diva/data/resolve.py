"""From what a user writes to the source that it means."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from diva.braces import expand_braces
from diva.data.folder import FolderSource
from diva.data.shards import ShardSource, is_tar
from diva.data.source import Source, listed
from diva.errors import InputError, Invalid, Missing
from diva.images import SUFFIXES, suffix_of


def open_source(spec: str) -> Source:
    """Open the images that `spec` names.

    Args:
        spec: a tar; a pattern of tars with braces, wildcards or both (`cc3m/{00000..00331}.tar`); a folder that
            holds tars; a folder that `datasets` saved; a folder of images, at any depth; or one of folders of tars.

    Raises:
        InputError: nothing is there, or nothing that is an image or a tar.
    """
    path = Path(spec)
    if os.path.isfile(path):
        return _shards(spec, [path])
    if not os.path.isdir(path):
        return _shards(spec, _expand(spec))
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        from diva.data.saved_dataset import SavedDatasetSource  # datasets takes seconds to import

        return SavedDatasetSource.open(spec, path)
    left_out: Counter[str] = Counter()
    files = list(_files_below(path, left_out))
    tars = [name for name in files if is_tar(name)]
    images = [name for name in files if suffix_of(name) in SUFFIXES]
    here = [name for name in tars if "/" not in name]
    chosen = here or images or tars
    left_out += Counter(_kind(name) for name in set(files).difference(chosen) if not name.endswith("_stats.json"))
    if not chosen:
        raise Missing(
            "data.source",
            spec,
            f"contains no .tar and no image ({', '.join(SUFFIXES)})"
            f"{f', but {listed(left_out)}' if left_out else ''}; give a folder or a pattern that does",
        )
    if chosen is images:
        return FolderSource(spec, path, sorted(images), left_out=left_out)
    return ShardSource(spec, path, sorted(chosen), left_out=left_out)


def _expand(spec: str) -> set[Path]:
    try:
        patterns = [pattern for part in spec.split("::") for pattern in expand_braces(part)]
    except InputError as error:
        raise error.within("data.source") from error
    found: set[Path] = set()
    for pattern in patterns:
        matches = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise Missing("data.source", f"no file matches {pattern}; give a pattern that matches .tar files")
        found.update(map(Path, matches))
    return found


def _shards(spec: str, paths: Iterable[Path]) -> ShardSource:
    paths = sorted(paths)
    for path in paths:
        if not os.path.isfile(path):
            raise Missing(
                "data.source", path, "does not exist or is not a regular file; give an existing folder or tars"
            )
        if not is_tar(path.name):
            raise Invalid("data.source", path, "is not a .tar; give uncompressed tars or a folder of images")
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return ShardSource(spec, root, [path.relative_to(root).as_posix() for path in paths])


def _files_below(folder: Path, left_out: Counter[str]) -> Iterable[str]:
    """Yield the names of all but folders and hidden files; links to folders are followed, each folder once."""
    met: set[tuple[int, int]] = set()
    roots = [folder]
    for root in roots:  # the links that are met come behind the real folders
        for place, folders, files in os.walk(
            root, onerror=lambda _: left_out.update(["folders that cannot be read"])
        ):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in met:
                left_out["links to folders that were already read"] += 1
                folders.clear()
                continue
            met.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            roots += [link for name in folders if (link := Path(place, name)).is_symlink()]
            for name in files:
                if not name.startswith("."):
                    yield Path(place, name).relative_to(folder).as_posix()


def _kind(name: str) -> str:
    suffix = suffix_of(name)
    return f".{suffix}" if suffix else "files without a suffix"
