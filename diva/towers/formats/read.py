"""Telling the formats apart."""

from pathlib import Path

from diva.errors import Missing
from diva.run_folder import RunFolder
from diva.towers.formats.bare_file import read_bare_file
from diva.towers.formats.open_clip_folder import CONFIG, read_open_clip_folder
from diva.towers.formats.source import TowerSource
from diva.towers.formats.timm_folder import WEIGHT_FILES as TIMM_FILES
from diva.towers.formats.timm_folder import is_timm, read_timm_folder
from diva.towers.formats.transformers_folder import read_transformers_folder


def read_tower(path: Path, *, allow_torchscript: bool = False) -> TowerSource:
    """Read the tower in `path`, whatever the format.

    Args:
        path: an open_clip folder, a transformers folder, a timm folder, a training run's folder (its `tower/` is
            read), or a file of weights.
        allow_torchscript: also read a TorchScript archive, which carries code.

    Raises:
        InputError: there is nothing there, or nothing that holds a tower.
    """
    if not path.exists():
        raise Missing(path, "no such file or folder; give a tower's weights or folder")
    if path.is_file() and path.name in TIMM_FILES and is_timm(path.parent):
        return read_timm_folder(path.parent, path)
    if path.is_file():
        return read_bare_file(path, allow_torchscript=allow_torchscript)
    if (path / CONFIG).is_file():
        return read_open_clip_folder(path)
    if RunFolder(path).tower.is_dir():  # a LLaVA's run has a config.json, too
        return read_tower(RunFolder(path).tower)
    if is_timm(path):
        return read_timm_folder(path)
    if (path / "config.json").is_file():
        return read_transformers_folder(path)
    raise Missing(
        path,
        f"holds no tower; a folder has {CONFIG} (open_clip), config.json (transformers, timm) or tower/ (a run)",
    )
