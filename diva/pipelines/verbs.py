"""What a step can use: names for verbs of `diva`, and how a step's options become the words of a command line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SET = "set"  # the option that holds fields, which a command line has as FIELD=VALUE


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        words: those that name it.
        arguments: names of what it takes without an option's name, in order.
        out: where in the step's folder it writes; empty for the folder itself.
        makes: files in the folder that it leaves when it is done.
        resumes: whether it has to be told to go on from where it stopped.
        of_run: whether it takes the run's own recipe where its step names none.
    """

    words: tuple[str, ...]
    makes: tuple[str, ...]
    out: str = ""
    arguments: tuple[str, ...] = ()
    resumes: bool = False
    of_run: bool = False

    def command(self, options: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        """Return the words behind `diva`; an option that is None is left out, a list is joined by commas."""
        given = {name: value for name, value in options.items() if value is not None}
        words = list(self.words)
        for name in self.arguments:
            value = given.pop(name, [])
            words += map(_text, value if isinstance(value, list) else [value])
        words += [f"{field}={_text(value)}" for field, value in given.pop(SET, {}).items() if value is not None]
        for name, value in given.items():
            if value is not False:
                words += [f"--{name}", *([] if value is True else [_joined(value)])]
        return (*words, "--out", str(folder / self.out), *(["--resume"] if self.resumes else []))


def _joined(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


TRAIN = "train"
_LLAVA = ("model/diva_swap.json",)
VERBS: Mapping[str, Verb] = {
    TRAIN: Verb((TRAIN,), ("tower/open_clip_model.safetensors",), arguments=("recipe",), resumes=True, of_run=True),
    "judge": Verb(("data", "judge"), ("agreement.json",), arguments=("recipe",), of_run=True),
    "export": Verb(("export",), ("tower/config.json",), "tower", ("checkpoint",)),
    "visualize": Verb(("visualize",), ("visualised.json",), arguments=("result",)),
    "mmvp-vlm": Verb(("bench", "mmvp"), ("mmvp.json",), "mmvp.json"),
    "zero-shot": Verb(("bench", "zero-shot"), ("zero_shot.json",), "zero_shot.json"),
    "segmentation-train": Verb(("seg", "train"), (), "run", resumes=True),
    "segmentation": Verb(("seg", "eval"), ("segmentation.json",), "segmentation.json"),
    "llava-miniature": Verb(("llava", "miniature"), ("model/config.json",), "model", ("conversations",)),
    "llava-swap": Verb(("llava", "swap"), _LLAVA, "model", ("model",)),
    "llava-train": Verb(("llava", "train"), _LLAVA, "model", ("recipe",), resumes=True),
    "llava": Verb(("llava", "eval"), (), "", ("model",)),
    "miniworld": Verb(("miniworld", "write"), ("world/mmvp_vlm/Questions.csv",), "world"),
}
