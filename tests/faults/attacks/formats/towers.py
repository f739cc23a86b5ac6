"""Towers: folders of open_clip and transformers, bare files, deltas."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diva.exporting.delta import Delta, state_sha256
from diva.exporting.note import Note, read_note, write_note
from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.transformers_format import fill_transformers
from diva.towers import load_clip
from diva.towers.checkpoint import read_state_dict
from tests.faults.attacks.cell import Format
from tests.fixtures.towers import tiny_siglip

WORLD = Path(str(files("diva.miniworld") / "bases" / "0"))
TOWER = WORLD / "clip"


def _write_open_clip(folder: Path) -> None:
    fill_open_clip(load_clip(str(TOWER)), folder)


def _write_transformers(folder: Path) -> None:
    fill_transformers(load_clip(str(TOWER)), folder)


def _read_tokens(folder: Path) -> Any:
    return load_clip(str(folder / "tower")).tokenizer(["a red star"]).tolist()


def _write_siglip(folder: Path) -> None:
    tiny_siglip(folder / "tower")


def _write_shards(folder: Path) -> None:
    _write_transformers(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {
        "model-00001-of-00002.safetensors": list(state)[::2],
        "model-00002-of-00002.safetensors": list(state)[1::2],
    }
    for name, keys in shards.items():
        save_file({key: state[key] for key in keys}, folder / name, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {key: name for name, keys in shards.items() for key in keys},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _write_torch(folder: Path) -> None:
    torch.save({"epoch": 3, "state_dict": _state()}, folder / "epoch.pt")


def _write_legacy(folder: Path) -> None:
    torch.save(_state(), folder / "epoch.pt", _use_new_zipfile_serialization=False)


def _write_delta(folder: Path) -> None:
    base = _state()
    Delta.between(base, {key: value + 1 for key, value in base.items()}, "bf16", {}).save(
        folder / "delta.safetensors"
    )


def _write_note(folder: Path) -> None:
    write_note(Note(recipe="tiny", share=0.5, base_sha256="a" * 64), folder)


def _state() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(4)}


def _read_tower(folder: Path) -> tuple[Any, ...]:
    clip = load_clip(str(folder))
    return state_sha256(clip.model.state_dict()), clip.input, clip.architecture


def _read_file(folder: Path) -> str:
    return state_sha256(read_state_dict(folder / "epoch.pt"))


def _read_delta(folder: Path) -> str:
    return state_sha256(Delta.load(folder / "delta.safetensors").apply(_state(), str(folder)))


FORMATS = (
    Format("open_clip folder: configuration", "json", _write_open_clip, "open_clip_config.json", _read_tower),
    Format(
        "open_clip folder: weights", "safetensors", _write_open_clip, "open_clip_model.safetensors", _read_tower
    ),
    Format("transformers folder: configuration", "json", _write_transformers, "config.json", _read_tower),
    Format(
        "transformers folder: image processor", "json", _write_transformers, "preprocessor_config.json", _read_tower
    ),
    Format("transformers folder: weights", "safetensors", _write_transformers, "model.safetensors", _read_tower),
    Format(
        "transformers folder: index of shards", "json", _write_shards, "model.safetensors.index.json", _read_tower
    ),
    Format(
        "transformers folder: shard", "safetensors", _write_shards, "model-00002-of-00002.safetensors", _read_tower
    ),
    Format("tower's tokenizer: tokenizer.json", "json", _write_siglip, "tower/tokenizer.json", _read_tokens),
    Format(
        "tower's tokenizer: tokenizer_config.json",
        "json",
        _write_siglip,
        "tower/tokenizer_config.json",
        _read_tokens,
        optional=True,
    ),
    Format("torch file", "torch", _write_torch, "epoch.pt", _read_file),
    Format("torch file before 1.6", "torch", _write_legacy, "epoch.pt", _read_file),
    Format("delta", "safetensors", _write_delta, "delta.safetensors", _read_delta, hashed=True),
    Format("note of an export", "json", _write_note, "provenance.json", read_note, optional=True),
)
