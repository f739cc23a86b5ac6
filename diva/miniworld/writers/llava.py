"""LLaVA's conversation files: captions for the projector, then questions and answers for the whole model.

As in LLaVA-1.5's own mixture, some questions ask for a letter or for one word: a model that was never asked so
cannot be measured by such answers.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diva.miniworld.captions import Exchange, exchanges, full_captions
from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import SHAPES
from diva.miniworld.writers.pictures import jpegs

INSTRUCTION = "Describe the picture."
LETTER = "Answer with the option's letter from the given choices directly."
WORD = "Answer the question using a single word or phrase."

Said = tuple[str, str]


def write_llava(pretrain: Scenes, tune: Scenes, folder: Path) -> None:
    """Write `pretrain.json` and `finetune.json` with the pictures in `images/`, named as LLaVA's files do.

    Pretraining conversations have one turn, a full caption. Tuning conversations ask for every detail in turn,
    every other one by its letter, and at last whether there is a shape, right and wrong ones alike.
    """
    (folder / "images").mkdir()
    captions = full_captions(pretrain)
    _write(pretrain, "pretrain", folder, ([(INSTRUCTION, caption)] for caption in captions))
    _write(tune, "finetune", folder, (_dialogue(tune, index) for index in range(tune.number)))


def _dialogue(scenes: Scenes, index: int) -> list[Said]:
    asked = exchanges(scenes, index)
    turns = [
        _by_letter(said, index + number) if (index + number) % 2 else (said.question, said.answer)
        for number, said in enumerate(asked)
    ]
    return [*turns, _by_word(int(scenes.shape[index]), index)]


def _by_letter(said: Exchange, turn: int) -> Said:
    options = [said.answer, *said.wrong]
    shift = turn // 2 % len(options)  # the right answer stands at every letter equally often
    options = options[shift:] + options[:shift]
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=False)]
    return "\n".join([said.question, *lines, LETTER]), "ABCD"[options.index(said.answer)]


def _by_word(shape: int, index: int) -> Said:
    there = index % 2 == 0
    asked = shape if there else (shape + 1 + index // 2 % (len(SHAPES) - 1)) % len(SHAPES)
    return f"Is there a {SHAPES[asked]} in the image?\n{WORD}", "Yes" if there else "No"


def _write(scenes: Scenes, name: str, folder: Path, dialogues: Iterator[list[Said]]) -> None:
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
