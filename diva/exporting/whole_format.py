"""The format that holds all of a tower, in which a training run leaves it."""

from pathlib import Path

from diva.atomic import new_folder
from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.timm_format import fill_timm
from diva.exporting.transformers_format import fill_transformers
from diva.exporting.transformers_model import whole_model
from diva.towers import Clip


def check_whole(clip: Clip) -> None:
    """Check that a format holds all of `clip`, before time is spent on its weights.

    Raises:
        InputError: it is an image tower alone that neither timm nor transformers has a model of.
    """
    if not (clip.has_text or clip.trunk):
        whole_model(clip)


def write_whole(clip: Clip, folder: Path) -> None:
    """Write `clip` to `folder`: open_clip's format; of an image tower alone timm's, or else transformers'.

    The folder appears complete or not at all; an earlier one of ours is replaced.

    Raises:
        InputError: `folder` holds something that is not ours.
    """
    fill = fill_open_clip if clip.has_text else fill_timm if clip.trunk else fill_transformers
    with new_folder(folder, replace=True) as content:
        fill(clip, content)
