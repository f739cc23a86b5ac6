"""The tower that was trained inside a LLaVA, as a tower for everything else."""

from pathlib import Path

from diva.atomic import new_folder
from diva.errors import Changed, InputError, Missing
from diva.exporting.open_clip_format import write_open_clip
from diva.exporting.transformers_model import is_siglip
from diva.towers import Clip, load_clip
from diva.towers.formats.transformers_folder import with_prefix
from diva.towers.formats.transformers_keys import clip_keys, siglip_keys
from diva_downstream.llava.formats import Llava, write_vision_tower
from diva_downstream.llava.formats.content import TOWER
from diva_downstream.llava.record import SwapRecord


def check_tower(record: SwapRecord | None) -> str:
    """Return a sentence on what the trained tower will lack, before it is trained; empty if nothing."""
    try:
        base = _base(record)
    except InputError as error:
        return f"{error}; the trained tower will be an image tower alone"
    return "" if base.has_text else f"{base.source}: has no text tower, and the trained tower will have none"


def write_tower(llava: Llava, record: SwapRecord | None, folder: Path) -> SwapRecord | None:
    """Write the tower of `llava` to `folder`, and return the record with it as the LLaVA's tower.

    It is the whole model that was swapped in, in open_clip's format, with the trained image tower in place of its
    own: what lies behind the layer that the projector reads, and the text tower, are as they were. Where that
    model is not there any more, or never had a text tower, it is transformers' vision model.
    """
    try:
        clip = _base(record)
    except InputError:
        clip = None
    if clip is not None and clip.has_text:
        _fill_in(clip, llava)
        write_open_clip(clip, folder)
    else:
        with new_folder(folder, replace=True) as content:
            write_vision_tower(llava, content)
    if record is None:
        return None
    return record.model_copy(
        update={"tower": str(folder), "tower_weights": None, "tower_sha256": load_clip(str(folder)).sha256}
    )


def _base(record: SwapRecord | None) -> Clip:
    """Return the model whose image tower the swap put in.

    Raises:
        InputError: it is unknown, or is not there any more.
    """
    if record is None:
        raise Missing("model", "no swap wrote it, so the text tower that belongs to its tower is unknown")
    clip = load_clip(record.tower, Path(record.tower_weights) if record.tower_weights else None, cached_only=True)
    if clip.sha256 != record.tower_sha256:
        raise Changed(record.tower, "is no longer the tower that was swapped in")
    return clip


def _fill_in(clip: Clip, llava: Llava) -> None:
    own = {key: value for key, value in clip.model.state_dict().items() if key.startswith("visual.")}
    keys = (siglip_keys if is_siglip(clip) else clip_keys)(own)
    trained = {key.removeprefix(TOWER): value for key, value in llava.state.items() if key.startswith(TOWER)}
    theirs = keys.to_theirs(own, clip.source) | with_prefix(trained)
    clip.model.load_state_dict(clip.model.state_dict() | keys.to_ours(theirs, str(llava.source)))
