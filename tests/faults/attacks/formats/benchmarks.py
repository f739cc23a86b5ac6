"""What `diva bench` reads: MMVP-VLM, other pairs and zero-shot sets."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from diva.atomic import write_json
from diva_benchmarks.mmvp_folder import read_mmvp
from diva_benchmarks.pairs.account import FILE, account
from diva_benchmarks.pairs.account_section import read_account
from diva_benchmarks.pairs.layouts import read_pairs
from diva_benchmarks.tensor_cache import TensorCache
from diva_benchmarks.zero_shot.data import read_set
from diva_benchmarks.zero_shot.sets import ZeroShotSet
from tests.benchmarks.report.examples import AFTER, BEFORE, mmvp, right_in_each
from tests.faults.attacks.cell import Format
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.pairs import WRITERS, write_plain
from tests.fixtures.zero_shot import (
    digits,
    write_captioned,
    write_class_folders,
    write_digits,
    write_prompts,
    write_things,
)

OWN = ZeroShotSet("own", "own", "acc1")
TEMPLATES = "zeroshot_classification_templates.txt"


def _write_mmvp(folder: Path) -> None:
    write_mmvp_folder(folder, 1)


def _read_mmvp(folder: Path) -> Any:
    found = read_mmvp(folder)
    pictures = [image.decode().tobytes() for pair in found.pairs for image in pair.images]
    return [(pair.id, pair.category, pair.statements) for pair in found.pairs], pictures


def _read_pairs(name: str, folder: Path) -> Any:
    found = read_pairs(name, folder)
    pictures = [image.decode().tobytes() for pair in found.pairs for image in pair.images]
    return [(pair.id, pair.category, pair.statements) for pair in found.pairs], pictures


def _write_account(folder: Path) -> None:
    write_json(account(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))), folder / FILE)


def _read_account(folder: Path) -> Any:
    return read_account(folder / FILE).model_dump()


def _read_set(folder: Path) -> Any:
    found = read_set(OWN, [folder], None)
    truth = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(found.truth).items()
    }
    return list(found.ids), truth, [hashlib.sha256(image.decode().tobytes()).hexdigest() for image in found.images]


def _write_cache(folder: Path) -> None:
    _read_cache(folder)


def _read_cache(folder: Path) -> Any:
    """Return what is kept, or computed again: both are the same."""
    cache = TensorCache(folder, Console(quiet=True))
    return cache.get("images", "a" * 16, "b" * 16, "tiny", lambda: torch.arange(8.0)).tolist()


def _write_class_folders(folder: Path) -> None:
    images, _ = digits(4)
    write_class_folders(folder / "test", {"zero": images[:2], "one": images[2:]})
    write_prompts(folder, ["zero", "one"])


FORMATS = (
    Format("MMVP-VLM: questions", "text", _write_mmvp, "Questions.csv", _read_mmvp),
    Format("MMVP-VLM: picture", "picture", _write_mmvp, "MLLM_VLM Images/Color/11.jpg", _read_mmvp),
    Format("pairs", "json lines", write_plain, "pairs.jsonl", partial(_read_pairs, "plain")),
    Format("pairs: entries", "json", WRITERS["eqben"], "all_select.json", partial(_read_pairs, "eqben")),
    Format(
        "pairs: table",
        "arrow",
        WRITERS["vismin"],
        "data/test-00000-of-00001.parquet",
        partial(_read_pairs, "vismin"),
    ),
    Format("account of a gain", "json", _write_account, FILE, _read_account),
    Format("zero-shot: class names", "text", partial(write_digits, count=10), "classnames.txt", _read_set),
    Format("zero-shot: templates", "text", partial(write_digits, count=10), TEMPLATES, _read_set),
    Format("zero-shot: shard", "tar", partial(write_digits, count=10), "test/0.tar", _read_set),
    Format(
        "zero-shot: number of shards",
        "text",
        partial(write_digits, count=10),
        "test/nshards.txt",
        _read_set,
        optional=True,
    ),
    Format("zero-shot: kind", "text", partial(write_things, count=6), "dataset_type.txt", _read_set, optional=True),
    Format("zero-shot: shard of several labels", "tar", partial(write_things, count=6), "test/0.tar", _read_set),
    Format("zero-shot: shard of captions", "tar", partial(write_captioned, count=6), "test/0.tar", _read_set),
    Format("zero-shot: picture of a class's folder", "png", _write_class_folders, "test/one/001.png", _read_set),
    Format(
        "embeddings kept",
        "safetensors",
        _write_cache,
        f"images-{'a' * 16}-{'b' * 16}.safetensors",
        _read_cache,
        hashed=True,
    ),
)
