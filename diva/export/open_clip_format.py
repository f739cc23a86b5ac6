"""A tower as open_clip reads it: `open_clip.create_model_from_pretrained('local-dir:FOLDER')`."""

import json
import logging
from pathlib import Path
from typing import Any

from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file

from diva.errors import InputError
from diva.export.folder import complete_folder
from diva.towers import Clip, TowerInput
from diva.towers.formats.open_clip_folder import CONFIG, WEIGHTS

log = logging.getLogger(__name__)


def write_open_clip(clip: Clip, folder: Path) -> None:
    """Write `clip` to `folder` in open_clip's format: weights, configuration, preprocessing and tokenizer.

    The folder appears complete or not at all; an earlier export there is replaced.

    Raises:
        InputError: `folder` holds something that is no export.
    """
    with complete_folder(folder) as content:
        fill_open_clip(clip, content)


def fill_open_clip(clip: Clip, folder: Path) -> None:
    """Write the files of open_clip's format into the existing `folder`."""
    config = clip.config
    state = {key: value.detach().cpu().contiguous() for key, value in clip.model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    document = {"model_cfg": config, "preprocess_cfg": preprocess_cfg(clip.input)}
    (folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n")
    if "hf_tokenizer_name" in config["text_cfg"]:
        _write_tokenizer(clip, folder)


def preprocess_cfg(tower_input: TowerInput) -> dict[str, Any]:
    """Return `tower_input` in the fields of open_clip's `preprocess_cfg`."""
    return {
        "size": list(tower_input.size),
        "mean": list(tower_input.mean),
        "std": list(tower_input.std),
        "interpolation": tower_input.interpolation,
        "resize_mode": tower_input.resize_mode,
    }


def _write_tokenizer(clip: Clip, folder: Path) -> None:
    try:
        tokenizer = clip.tokenizer
    except InputError as error:
        # the images' side of hours of training is worth keeping without it
        log.warning("written without a tokenizer: %s", error)
        return
    assert isinstance(tokenizer, HFTokenizer)  # open_clip reads every named vocabulary through it
    tokenizer.save_pretrained(folder)
