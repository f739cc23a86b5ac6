"""`<image>` in the vocabulary: transformers needs a row for it, the original LLaVA has none."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diva_downstream.llava.conversation import IMAGE
from diva_downstream.llava.formats.content import EMBEDDING, HEAD, Llava
from diva_downstream.llava.formats.loading import SENTENCEPIECE

PAD = "<pad>"
OLDER_SETTINGS = ("bos_token", "eos_token", "unk_token", "model_max_length", "clean_up_tokenization_spaces")
MULTIPLE = 64  # rows are filled up to a multiple of it, as in the published conversions: 32,000 become 32,064


def with_image_token(llava: Llava) -> Llava:
    """Return `llava` with `<image>` and a padding token in its tokenizer, and rows for them in its tensors.

    New rows are the mean of the others; the model never reads the row of `<image>`.
    """
    tokenizer = copy.deepcopy(llava.tokenizer)
    if IMAGE not in tokenizer.get_vocab():
        tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)], special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PAD})
    last = max(tokenizer.get_vocab().values())
    rows = len(llava.state[EMBEDDING])
    if last >= rows:
        rows = -(-(last + 1) // MULTIPLE) * MULTIPLE
    state = llava.state | {key: _grown(llava.state[key], rows) for key in (EMBEDDING, HEAD)}
    return replace(llava, tokenizer=tokenizer, state=state)


def without_image_token(llava: Llava) -> dict[str, Tensor]:
    """Return the tensors of `llava` without the rows from `<image>` on."""
    rows = llava.tokenizer.get_vocab().get(IMAGE, len(llava.state[EMBEDDING]))
    return llava.state | {key: llava.state[key][:rows].clone() for key in (EMBEDDING, HEAD)}


def save_tokenizer_without_image(llava: Llava, folder: Path) -> None:
    """Write the tokenizer of `llava` into `folder` without `<image>` and what was added behind it.

    The settings are those that transformers 4.3x knows, which the original code runs with: with `tokenizer.model`
    its LlamaTokenizer, which puts a space before a text behind a special token if it is `legacy`.
    """
    llava.tokenizer.save_pretrained(folder)
    first = llava.tokenizer.get_vocab().get(IMAGE, len(llava.tokenizer))
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["added_tokens"] = [token for token in document["added_tokens"] if token["id"] < first]
    path.write_text(json.dumps(document, ensure_ascii=False))
    path = folder / "tokenizer_config.json"
    fields = json.loads(path.read_text())
    kept = {name: fields[name] for name in OLDER_SETTINGS if fields.get(name) is not None}
    kept |= {"padding_side": "right", "tokenizer_class": "PreTrainedTokenizerFast"}
    if (llava.source / SENTENCEPIECE).is_file():
        shutil.copy(llava.source / SENTENCEPIECE, folder)
        kept |= {"tokenizer_class": "LlamaTokenizer", "legacy": _is_legacy(llava.tokenizer)}
        kept |= {"add_bos_token": True, "add_eos_token": False}  # as Vicuna's and LLaVA's own have it
    path.write_text(json.dumps(kept, indent=2) + "\n")


def _is_legacy(tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.tokenize(f"{tokenizer.eos_token}a")[1:] == tokenizer.tokenize("a")


def _grown(matrix: Tensor, rows: int) -> Tensor:
    if len(matrix) >= rows:
        return matrix
    mean = matrix.float().mean(0, keepdim=True).to(matrix.dtype)
    return torch.cat([matrix, mean.expand(rows - len(matrix), -1)])
