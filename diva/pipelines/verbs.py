"""What a step can use: verbs of `diva` and installed tasks; and how options become the words of a command line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diva.errors import Unknown, did_you_mean
from diva.tasks import TowerTask, find_tasks

SET = "set"  # the option that holds fields, which the command line of a verb that takes them has as FIELD=VALUE


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        words: those that name it.
        arguments: names of what it takes without an option's name, in order.
        out: where in the step's folder it writes; empty for the folder itself.
        makes: files in the folder that it leaves when it is done.
        resumes: whether it goes on from where it stopped.
        takes_recipe: whether it is of the run's own recipe unless told another.
        takes_fields: whether fields can be set.
    """

    words: tuple[str, ...]
    makes: tuple[str, ...]
    out: str = ""
    arguments: tuple[str, ...] = ()
    resumes: bool = False
    takes_recipe: bool = False
    takes_fields: bool = False

    def command(self, options: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        """Return the words behind `diva`; an option that is None is left out, a list is joined by commas."""
        given = {name: value for name, value in options.items() if value is not None}
        words = list(self.words)
        for name in self.arguments:
            value = given.pop(name, [])
            words += map(_text, value if isinstance(value, list) else [value])
        fields = given.pop(SET, {}) if self.takes_fields else {}
        words += [f"{field}={_text(value)}" for field, value in fields.items() if value is not None]
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
_VERBS: Mapping[str, Verb] = {
    TRAIN: Verb(
        (TRAIN,),
        ("tower/open_clip_model.safetensors",),
        arguments=("recipe",),
        resumes=True,
        takes_recipe=True,
        takes_fields=True,
    ),
    "judge": Verb(
        ("data", "judge"), ("agreement.json",), arguments=("recipe",), takes_recipe=True, takes_fields=True
    ),
    "export": Verb(("export",), ("tower/config.json",), "tower", ("checkpoint",)),
    "visualize": Verb(("visualize",), ("visualised.json",), arguments=("result",)),
    "mmvp-vlm": Verb(("bench", "mmvp"), ("mmvp.json",), "mmvp.json"),
    "zero-shot": Verb(("bench", "zero-shot"), ("zero_shot.json",), "zero_shot.json"),
    "segmentation-train": Verb(("seg", "train"), (), "run", resumes=True, takes_fields=True),
    "segmentation": Verb(("seg", "eval"), ("segmentation.json",), "segmentation.json", takes_fields=True),
    "llava-miniature": Verb(("llava", "miniature"), ("model/config.json",), "model", ("conversations",)),
    "llava-swap": Verb(("llava", "swap"), _LLAVA, "model", ("model",)),
    "llava-train": Verb(("llava", "train"), _LLAVA, "model", ("recipe",), resumes=True, takes_fields=True),
    "llava": Verb(("llava", "eval"), (), "", ("model",)),
    "miniworld": Verb(("miniworld", "write"), ("world/mmvp_vlm/Questions.csv",), "world", takes_fields=True),
}


def find_verb(name: str) -> Verb:
    """Return what a step that uses `name` runs: one of the table, or `diva bench` of an installed task.

    Raises:
        InputError: there is no such verb or task.
    """
    if name in _VERBS:
        return _VERBS[name]
    tasks = [task for task, its in find_tasks().items() if isinstance(its, TowerTask)]
    if name not in tasks:
        raise Unknown(name, f"there is no such command; {did_you_mean(name, {*_VERBS, *tasks})}")
    return Verb(("bench", name), (f"{name}.json",), f"{name}.json")
