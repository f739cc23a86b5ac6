"""From what a user writes to the source that it means."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from webdataset.shardlists import expand_urls

from diva.data.folder import FolderSource
from diva.data.shards import ShardSource
from diva.data.source import EXTENSIONS, Source
from diva.errors import InputError


def open_source(spec: str) -> Source:
    """Open the images that `spec` names.

    Args:
        spec: a tar; a pattern of tars with braces, wildcards or both (`cc3m/{00000..00331}.tar`); a folder that
            holds tars; a folder that `datasets` saved; or a folder of images, at any depth.

    Raises:
        InputError: nothing is there, or nothing that is an image or a tar.
    """
    path = Path(spec)
    if path.is_file():
        return _shards(spec, [path])
    if not path.is_dir():
        return _shards(spec, _expand(spec))
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        from diva.data.saved_dataset import SavedDatasetSource  # datasets takes seconds to import

        return SavedDatasetSource.open(spec, path)
    tars = sorted(path.glob("*.tar"))
    if tars:
        return _shards(spec, tars)
    images = sorted(_images_below(path))
    if not images:
        raise InputError(
            f"data.source: {spec} holds no .tar and no image ({', '.join(sorted(EXTENSIONS))});"
            " give a folder or a pattern that does"
        )
    return FolderSource(spec, path, images)


def _expand(spec: str) -> set[Path]:
    try:
        patterns = expand_urls(spec)
    except (ValueError, AssertionError) as error:  # braces that do not match, variables that are not set
        raise InputError(f"data.source: {spec} is no pattern ({error}); give a folder or tars") from error
    found: set[Path] = set()
    for pattern in patterns:
        matches = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise InputError(f"data.source: no file matches {pattern}; give a pattern that matches .tar files")
        found.update(map(Path, matches))
    return found


def _shards(spec: str, paths: Iterable[Path]) -> ShardSource:
    paths = sorted(paths)
    for path in paths:
        if not path.is_file():
            raise InputError(f"data.source: {path} is not there; give an existing folder or tars")
        if path.suffix != ".tar":
            raise InputError(f"data.source: {path} is no .tar; give uncompressed tars or a folder of images")
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return ShardSource(spec, root, [path.relative_to(root).as_posix() for path in paths])


def _images_below(folder: Path) -> Iterable[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix[1:].lower() in EXTENSIONS:
                yield Path(place, name).relative_to(folder).as_posix()
