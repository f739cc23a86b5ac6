"""A tower as open_clip reads it: `open_clip.create_model_from_pretrained('local-dir:FOLDER')`."""

import json
import logging
from pathlib import Path

import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file

from diva.atomic import new_folder
from diva.errors import Mismatch
from diva.exporting.processors import tokenizer_on_this_machine
from diva.progress import phase
from diva.towers import Clip
from diva.towers.activation import activation_of
from diva.towers.build import build_model
from diva.towers.formats.open_clip_folder import CONFIG, WEIGHTS

log = logging.getLogger(__name__)


@phase("writing the tower")
def write_open_clip(clip: Clip, folder: Path) -> None:
    """Write `clip` to `folder` in open_clip's format: weights, configuration, preprocessing and tokenizer.

    The folder appears complete or not at all; an earlier one of ours is replaced.

    Raises:
        InputError: `folder` holds something that is not ours, or `clip` has no text tower.
    """
    with new_folder(folder, replace=True) as content:
        fill_open_clip(clip, content)


def fill_open_clip(clip: Clip, folder: Path) -> None:
    """Write the files of open_clip's format into the existing `folder`."""
    if not clip.has_text:
        raise Mismatch(
            clip.source,
            "open_clip's format needs a text tower, and there is none; give --to"
            f" {'timm' if clip.trunk else 'llava'}",
        )
    if is_approximated(clip):
        log.warning(
            "open_clip computes SigLIP with the exact GELU; these weights had its tanh form (about 1e-3 apart)"
        )
    state = {key: value.detach().cpu().contiguous() for key, value in clip.model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    document = {"model_cfg": clip.config, "preprocess_cfg": clip.input.open_clip_fields()}
    (folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n")
    tokenizer = tokenizer_on_this_machine(clip)
    if isinstance(tokenizer, HFTokenizer):  # the other one comes with open_clip
        tokenizer.save_pretrained(folder)


def is_approximated(clip: Clip) -> bool:
    """Tell whether `clip` has GELU's tanh form where open_clip's model of its configuration has the exact one."""
    if activation_of(clip.model) != "gelu_tanh" or not clip.has_text:
        return False
    with torch.device("meta"):
        return activation_of(build_model(clip.config, {})) != "gelu_tanh"
