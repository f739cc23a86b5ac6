"""The image processor and the tokenizer that belong to a tower, as transformers saves them."""

import copy
import logging
import re
import string
from pathlib import Path
from typing import Any

import open_clip
from tokenizers import Regex, normalizers
from transformers import CLIPImageProcessor, CLIPTokenizer, PreTrainedTokenizerBase, SiglipImageProcessor

from diva.errors import InputError
from diva.towers import Clip, TowerInput

log = logging.getLogger(__name__)

RESAMPLE = {"bilinear": 2, "bicubic": 3}  # PIL's numbers


def write_image_processor(tower_input: TowerInput, folder: Path, *, siglip: bool) -> None:
    """Write `preprocessor_config.json`: what `tower_input` does, in transformers' terms."""
    height, width = tower_input.size
    size = {"height": height, "width": width}
    squash = tower_input.resize_mode == "squash"
    fields: dict[str, Any] = {
        "size": size if squash else {"shortest_edge": height},
        "do_center_crop": not squash,
        "crop_size": size,
        "resample": RESAMPLE[tower_input.interpolation],
        "image_mean": list(tower_input.mean),
        "image_std": list(tower_input.std),
    }
    (SiglipImageProcessor if siglip else CLIPImageProcessor)(**fields).save_pretrained(folder)


def tokenizer_on_this_machine(clip: Clip) -> Any | None:
    """Return open_clip's tokenizer of `clip`, or None, with a warning, where its files are not on this machine."""
    try:
        return clip.tokenizer
    except InputError as error:
        # the images' side of hours of training is worth keeping without it
        log.warning("written without a tokenizer: %s", error)
        return None


def write_transformers_tokenizer(clip: Clip, folder: Path) -> None:
    """Write the tokenizer so that transformers turns a text into the numbers that open_clip turns it into.

    open_clip repairs broken Unicode and HTML entities before it tokenizes; transformers does not.
    """
    tokenizer = tokenizer_on_this_machine(clip)
    if tokenizer is None:
        return
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        theirs = _clip_tokenizer(tokenizer)
    else:
        theirs = copy.deepcopy(tokenizer.tokenizer)
        if clip.config["text_cfg"].get("tokenizer_kwargs", {}).get("clean") == "canonicalize":
            _canonicalise(theirs)
    theirs.model_max_length = tokenizer.context_length
    theirs.save_pretrained(folder)


def _clip_tokenizer(tokenizer: open_clip.SimpleTokenizer) -> CLIPTokenizer:
    vocabulary = dict(tokenizer.encoder)
    for token, theirs in (("<start_of_text>", "<|startoftext|>"), ("<end_of_text>", "<|endoftext|>")):
        vocabulary[theirs] = vocabulary.pop(token)
    return CLIPTokenizer(vocab=vocabulary, merges=list(tokenizer.bpe_ranks))


def _canonicalise(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let `tokenizer` lower the case, drop punctuation and collapse spaces first, as open_clip does for SigLIP."""
    backend = tokenizer.backend_tokenizer
    own = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("_", " "),
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            *own,
        ]
    )
