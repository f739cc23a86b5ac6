"""The image processor and the tokenizer that belong to a tower, as transformers saves them."""

import copy
import json
import logging
import re
import string
from pathlib import Path
from typing import Any

import open_clip
from PIL import Image
from tokenizers import Regex, Tokenizer, normalizers
from transformers import (
    CLIPImageProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SiglipImageProcessor,
)

from diva.errors import InputError
from diva.towers import Clip, TowerInput

log = logging.getLogger(__name__)


def write_image_processor(tower_input: TowerInput, folder: Path, *, siglip: bool) -> None:
    """Write `preprocessor_config.json`: what `tower_input` does, in transformers' terms."""
    height, width = tower_input.size
    size = {"height": height, "width": width}
    squash = tower_input.resize_mode == "squash"
    fields: dict[str, Any] = {
        "size": size if squash else {"shortest_edge": height},
        "do_center_crop": not squash,
        "crop_size": size,
        "resample": Image.Resampling[tower_input.interpolation.upper()].value,
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
    theirs: PreTrainedTokenizerBase
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        theirs = _clip_tokenizer(tokenizer)
    elif clip.config["text_cfg"].get("tokenizer_kwargs", {}).get("clean") == "canonicalize":
        theirs = _canonicalising(tokenizer.tokenizer)
    else:
        theirs = copy.deepcopy(tokenizer.tokenizer)
    theirs.model_max_length = tokenizer.context_length
    theirs.save_pretrained(folder)
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        _write_for_transformers_4(theirs, folder)


def _write_for_transformers_4(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write vocab.json and merges.txt, and tokenizer.json's merges as the strings that they were before."""
    tokenizer.backend_tokenizer.model.save(str(folder))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _clip_tokenizer(tokenizer: open_clip.SimpleTokenizer) -> CLIPTokenizer:
    vocabulary = dict(tokenizer.encoder)
    for token, theirs in (("<start_of_text>", "<|startoftext|>"), ("<end_of_text>", "<|endoftext|>")):
        vocabulary[theirs] = vocabulary.pop(token)
    return CLIPTokenizer(vocab=vocabulary, merges=list(tokenizer.bpe_ranks))


def _canonicalising(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return `tokenizer` so that it lowers the case, drops punctuation and collapses spaces, as open_clip does.

    Its class is a plain one: T5's, which SigLIP's files name, builds its normaliser anew when it is loaded.
    """
    if not hasattr(tokenizer, "backend_tokenizer"):
        # a SentencePiece model as Google ships it: its class does all this by itself, and leaves out underscores
        return copy.deepcopy(tokenizer)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
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
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map)
