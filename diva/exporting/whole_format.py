"""The format that holds all of a tower, in which a training run leaves it."""

from pathlib import Path

from diva.atomic import new_folder
from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.timm_format import fill_timm
from diva.exporting.transformers_format import fill_transformers
from diva.towers import Clip


def write_whole(clip: Clip, folder: Path) -> None:
    """Write `clip` to `folder`: open_clip's format; of an image tower alone timm's, or else transformers'.

    The folder appears complete or not at all; an earlier one of ours is replaced.

    Raises:
        InputError: `folder` holds something that is not ours.
    """
    fill = fill_open_clip if clip.has_text else fill_timm if clip.trunk else fill_transformers
    with new_folder(folder, replace=True) as content:
        fill(clip, content)
