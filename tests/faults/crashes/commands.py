"""Commands that are stopped: each makes the same again, however often it was."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_ade20k
from tests.faults.attacks.formats.images import picture
from tests.faults.attacks.formats.towers import TOWER, WORLD
from tests.fixtures.llava import tiny_llava
from tests.fixtures.recipes import write_recipe_file

MEASURED = {"images_per_second", "memory_gib"}  # what no two runs have in common
WORKERLESS = "data.workers=0"
LOGS = re.compile(r"train\.log|\d{8}_\d{6}(/.*)?")  # one for each start, or none


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: with the folder that `prepare` filled as `{}`.
        results: patterns of the files that must come out the same.
        resume: what is added to go on after a stop.
        single: what keeps it to one process: a limit on files is one on the memory that processes share, too.
        shared: whether two at once in one folder do no harm.
    """

    name: str
    words: str
    results: tuple[str, ...]
    resume: str = ""
    single: str = ""
    shared: bool = False

    def line(self, inputs: Path, out: Path, more: str = "") -> list[str]:
        """Return what is typed after `diva`."""
        return f"{self.words.format(inputs)} --out {out} {more}".split()


COMMANDS = (
    Command(
        "diva train",
        "train {}/tiny.yaml",
        ("tower/*", "projection.safetensors", "metrics.jsonl", "recipe.yaml"),
        "--resume",
        WORKERLESS,
    ),
    Command("diva data cache-latents", "data cache-latents {}/tiny.yaml", ("*",), single=WORKERLESS),
    Command("diva export", f"export {TOWER} --to transformers", ("*",), shared=True),
    Command(
        "diva run",
        "run {}/tiny.yaml",
        ("manifest.json", "train/tower/*.safetensors", "export/model/*"),
        single=WORKERLESS,
    ),
    Command(
        "diva llava train",
        "llava train {}/llava.yaml",
        ("*.safetensors", "*.json", "*.yaml", "metrics.jsonl"),
        "--resume",
    ),
    Command(
        "diva seg train",
        f"seg train --tower {TOWER} --head linear --dataset ade20k --data {{}}/world --crop 48 --batch 2"
        " --iterations 8 --workers 0",
        ("iter_8/checkpoint.pth", "segmentation.json"),
        "--resume",
    ),
)


def prepare(folder: Path) -> Path:
    """Write what the commands read: images, recipes of the shipped tower and teacher, a LLaVA, masks."""
    (folder / "images").mkdir(parents=True)
    for number in range(8):
        picture(number, 56).save(folder / "images" / f"{number}.png")
    stages = {
        "train": ("train {recipe} --out {out} --resume", "tower/open_clip_model.safetensors"),
        "export": ("export {train} --to transformers --out {out}/model", "model/config.json"),
    }
    write_recipe_file(
        folder / "tiny.yaml",
        tower=TOWER,
        teacher=WORLD / "teacher",
        source=folder / "images",
        condition={"type": "dense_recap", "tokens": {"kind": "random", "count": 36}, "combine": "token_by_token"},
        data={"source": str(folder / "images"), "image_size": 48, "workers": 1, "streams": 1, "shuffle_buffer": 8},
        training={
            "global_batch": 2,
            "micro_batch": 2,
            "precision": "fp32",
            "frozen_dtype": "float32",
            "log_every": 1,
            "checkpoint_every": 2,
        },
        stages=[{"steps": 8, "warmup": 0.0, "optimizer": {"type": "adamw", "lr": 1e-3}}],
        pipeline={"stages": {name: {"command": does, "makes": [makes]} for name, (does, makes) in stages.items()}},
    )
    _write_stage(folder)
    write_ade20k(draw(16, generator(1)), draw(4, generator(2)), folder / "world")
    return folder


def _write_stage(folder: Path) -> None:
    turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "The ball is red."}]
    records = [{"id": str(number), "image": f"{number}.png", "conversations": turns} for number in range(8)]
    (folder / "captions.json").write_text(json.dumps(records))
    recipe = {
        "name": "tiny",
        "model": str(tiny_llava(folder / "llava")),
        "train": "lora",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "data": {
            "conversations": str(folder / "captions.json"),
            "images": str(folder / "images"),
            "template": "plain",
            "workers": 0,
        },
        "training": {
            "steps": 8,
            "lr": 1e-2,
            "global_batch": 2,
            "micro_batch": 2,
            "precision": "fp32",
            "log_every": 1,
            "checkpoint_every": 2,
        },
    }
    (folder / "llava.yaml").write_text(yaml.safe_dump(recipe))


def made(command: Command, out: Path) -> dict[str, Any]:
    """Return the content of each result by its name, and what else lies in or beside `out`, logs apart."""
    files = sorted(path for pattern in command.results for path in out.glob(pattern) if path.is_file())
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    beside = [path.name for path in out.parent.iterdir()]
    content = {path.relative_to(out).as_posix(): _content(path) for path in files}
    return content | {"names": sorted(name for name in names if not LOGS.fullmatch(name)), "beside": beside}


def _content(path: Path) -> object:
    """Return what can be compared of a file: its hash, or where the hour is noted in it, what it says besides."""
    if path.name == "manifest.json":
        return {name: stage["state"] for name, stage in json.loads(path.read_text())["stages"].items()}
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]
    if path.suffix == ".pth":
        return _tensors(torch.load(path, weights_only=True))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tensors(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of every tensor of the weights and of the optimiser."""
    states = content["optimizer"]["state"].items()
    optimiser = {f"{number}.{key}": value for number, state in states for key, value in state.items()}
    named = content["state_dict"] | optimiser
    return {key: hashlib.sha256(value.numpy().tobytes()).hexdigest() for key, value in named.items()}
