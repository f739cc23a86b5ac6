"""`diva export`: from a trained tower, or any other, to the folder that a program loads."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from torch import Tensor

from diva.documents import parse_json
from diva.errors import InputError, did_you_mean
from diva.exporting.average import average as average_states
from diva.exporting.card import write_card
from diva.exporting.crops import measure_crop_cost
from diva.exporting.delta import DTYPES, Delta, is_delta
from diva.exporting.folder import check_replaceable, complete_folder
from diva.exporting.history import History, history_of
from diva.exporting.hub import push_to_hub as push
from diva.exporting.note import Note, read_note, write_note
from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.transformers_format import fill_llava, fill_transformers
from diva.towers import Clip, load_clip
from diva.towers.build import fitted
from diva.towers.clip import assemble
from diva.towers.family import activation_in, activation_of
from diva.towers.formats import read_tower
from diva.towers.formats.settings import check_model, check_preprocess

FORMATS: dict[str, Callable[[Clip, Path], None]] = {
    "open_clip": fill_open_clip,
    "transformers": fill_transformers,
    "llava": fill_llava,
}
DELTA = "delta.safetensors"
TOWER_FIELDS = {"architecture": str, "config": dict, "preprocess": dict, "activation": str}
States = dict[str, Tensor]


def export(
    checkpoint: Path,
    out: Path,
    *,
    to: str | None = None,
    base: Path | None = None,
    average: Sequence[float] = (),
    delta: str | None = None,
    push_to_hub: str | None = None,
    allow_torchscript: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Export the tower in `checkpoint` and return the folders that were written.

    Args:
        checkpoint: a run's folder, its `tower/`, a delta, or any tower that `load_clip` reads from a path.
        out: the folder to write; with several averages, one folder for each is written in it.
        to: "open_clip", "transformers" or "llava".
        base: the weights that training started from, for averages and deltas; the recipe's unless given.
        average: shares of the trained tower, each giving one average with the base (WiSE-FT).
        delta: instead of a tower write its difference to the base, as "bf16" or "float32".
        push_to_hub: repository to upload to.
        allow_torchscript: also read TorchScript archives, which carry code.
        console: where it is said what was written.

    Raises:
        InputError: an option, the tower or the base cannot be used; nothing has been written then.
        RunError: the upload failed; the folders are complete.
    """
    _check_options(to, average, delta, push_to_hub)
    targets = _targets(out, average)
    for folder in targets:
        check_replaceable(folder, checkpoint, *([base] if base else []))
    clip = _load(checkpoint, base, allow_torchscript=allow_torchscript)
    history = history_of(checkpoint, clip.sha256, base, allow_torchscript=allow_torchscript)
    note = read_note(checkpoint).model_copy(
        update={"base_sha256": history.base_sha256, "trained_sha256": clip.sha256}
    )
    trained = {key: value.clone() if average else value for key, value in clip.model.state_dict().items()}
    start = _base_state(clip, history, allow_torchscript=allow_torchscript) if average or delta else trained
    sources = [path for path in (clip.weights, history.base) if path]
    console = console or Console(quiet=True)
    for folder, alpha in targets.items():
        state = trained if alpha is None else average_states(start, trained, alpha)
        clip.model.load_state_dict(state)
        with complete_folder(folder, *sources) as content:
            write_note(_averaged(note, alpha), content)
            if delta:
                _fill_delta(clip, start, state, delta, content)
                write_card(content, clip, history, kind=f"delta ({delta})", alpha=alpha)
            else:
                assert to is not None  # as checked above
                FORMATS[to](clip, content)
                cost = measure_crop_cost(clip, content) if to != "open_clip" else None
                write_card(content, clip, history, kind=to, alpha=alpha, cost=cost)
        console.print(Text(f"wrote {folder}"), soft_wrap=True)
    if push_to_hub:
        console.print(Text(f"pushed to {push(out, push_to_hub)}"), soft_wrap=True)
    return list(targets)


def _averaged(note: Note, alpha: float | None) -> Note:
    """Return the note of the average of a tower with its base, `alpha` being the tower's share."""
    if alpha is None:
        return note
    return note.model_copy(update={"share": alpha * (1 if note.share is None else note.share)})


def _targets(out: Path, average: Sequence[float]) -> dict[Path, float | None]:
    """Return the folders to write, each with the trained tower's share in it (None: not averaged)."""
    if len(average) > 1:
        return {out / f"alpha-{alpha:g}": alpha for alpha in average}
    return {out: average[0] if average else None}


def _check_options(to: str | None, average: Sequence[float], delta: str | None, push_to_hub: str | None) -> None:
    if (to is None) == (delta is None):
        raise InputError(f"--to: give either a format ({', '.join(FORMATS)}) or --delta")
    if to is not None and to not in FORMATS:
        raise InputError(f"--to: there is no format '{to}'; {did_you_mean(to, FORMATS)}")
    if delta is not None and delta not in DTYPES:
        raise InputError(f"--delta: there is no type '{delta}'; {did_you_mean(delta, DTYPES)}")
    wrong = [alpha for alpha in average if not 0 <= alpha <= 1]
    if wrong:
        raise InputError(f"--average: {wrong[0]:g} is no share; give the trained tower's share, from 0 to 1")
    if push_to_hub and len(average) > 1:
        raise InputError("--push-to-hub: takes one tower; give --average one number")


def _load(checkpoint: Path, base: Path | None, *, allow_torchscript: bool) -> Clip:
    file = checkpoint / DELTA if (checkpoint / DELTA).is_file() else checkpoint
    if not file.is_file() or not is_delta(file):
        return load_clip(f"local-dir:{checkpoint}", allow_torchscript=allow_torchscript)
    if base is None:
        raise InputError(f"--base: {file} is a delta, which needs the weights that it was taken from")
    delta = Delta.load(file)
    source = replace(read_tower(base, allow_torchscript=allow_torchscript), doubts=(), **_tower_fields(delta, file))
    clip = assemble(source, str(file))
    clip.model.load_state_dict(delta.apply(clip.model.state_dict(), str(base)))
    clip.weights = file
    return clip


def _tower_fields(delta: Delta, file: Path) -> dict[str, Any]:
    """Return what `_fill_delta` wrote of the tower, checked like any configuration from elsewhere."""
    fields = parse_json(delta.fields.get("tower", ""), f"{file}: the tower's description")
    kinds = {name: type(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
    if kinds != TOWER_FIELDS or "vision_cfg" not in fields["config"]:
        raise InputError(f"{file}: does not describe its tower; export the delta again")
    check_model({"text_cfg": {}, **fields["config"]}, file)
    check_preprocess(fields["preprocess"], file)
    return dict(fields)


def _base_state(clip: Clip, history: History, *, allow_torchscript: bool) -> States:
    if history.base is None:
        raise InputError("--base: name the weights that training started from; no recipe beside the tower does")
    source = read_tower(history.base, allow_torchscript=allow_torchscript)
    return {key: value.float() for key, value in fitted(clip.model, source.state, history.base).items()}


def _fill_delta(clip: Clip, base: States, trained: States, dtype: str, folder: Path) -> None:
    activation = activation_of(clip.model)
    tower = {
        "architecture": clip.architecture,
        "config": clip.config,
        "preprocess": clip.input.open_clip_fields(),
        # where the two towers differ, the configuration says so by itself
        "activation": activation_in(clip.config) if " and " in activation else activation,
    }
    Delta.between(base, trained, dtype, {"tower": json.dumps(tower)}).save(folder / DELTA)
