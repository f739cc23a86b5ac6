"""LLaVA's conversation files: captions for the projector, then questions and answers for the whole model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diva.miniworld.captions import exchanges, full_captions
from diva.miniworld.scene import Scenes
from diva.miniworld.writers.pictures import jpegs

INSTRUCTION = "Describe the picture."


def write_llava(pretrain: Scenes, tune: Scenes, folder: Path) -> None:
    """Write `pretrain.json` and `finetune.json` with the pictures in `images/`, named as LLaVA's files do.

    Pretraining conversations have one turn, a full caption; tuning conversations ask for every detail in turn.
    """
    (folder / "images").mkdir()
    captions = full_captions(pretrain)
    _write(pretrain, "pretrain", folder, ([(INSTRUCTION, caption)] for caption in captions))
    turns = ([(said.question, said.answer) for said in exchanges(tune, index)] for index in range(tune.number))
    _write(tune, "finetune", folder, turns)


def _write(scenes: Scenes, name: str, folder: Path, dialogues: Iterator[list[tuple[str, str]]]) -> None:
    records: list[dict[str, Any]] = []
    for index, (picture, turns) in enumerate(zip(jpegs(scenes), dialogues, strict=True)):
        identity = f"{name}_{index:06d}"
        (folder / "images" / f"{identity}.jpg").write_bytes(picture)
        # the picture goes before the first question only
        said = [
            {"from": speaker, "value": f"<image>\n{text}" if turn == 0 and speaker == "human" else text}
            for turn, both in enumerate(turns)
            for speaker, text in zip(("human", "gpt"), both, strict=True)
        ]
        records.append({"id": identity, "image": f"images/{identity}.jpg", "conversations": said})
    (folder / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n")
