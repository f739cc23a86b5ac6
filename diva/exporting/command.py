"""`diva export`: from a trained tower, or any other, to the folder that a program loads."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from torch import Tensor

from diva.atomic import check_files_in
from diva.errors import Invalid, Missing, Unknown, did_you_mean, printable
from diva.exporting.average import average as average_states
from diva.exporting.card import write_card
from diva.exporting.folder import check_replaceable, complete_folder
from diva.exporting.history import History, history_of
from diva.exporting.hub import push_to_hub as push
from diva.exporting.note import Note, read_note, write_note
from diva.exporting.open_clip_format import fill_open_clip
from diva.exporting.timm_format import fill_timm
from diva.exporting.transformers_format import fill_llava, fill_transformers
from diva.progress import phase
from diva.towers import Clip, load_clip
from diva.towers.build import fitted
from diva.towers.formats import read_tower

FORMATS: dict[str, Callable[[Clip, Path], None]] = {
    "open_clip": fill_open_clip,
    "transformers": fill_transformers,
    "llava": fill_llava,
    "timm": fill_timm,
}
States = dict[str, Tensor]


def export(
    checkpoint: Path,
    out: Path,
    *,
    to: str,
    base: Path | None = None,
    average: Sequence[float] = (),
    push_to_hub: str | None = None,
    allow_torchscript: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Export the tower in `checkpoint` and return the folders that were written.

    Args:
        checkpoint: a run's folder, its `tower/`, or any tower that `load_clip` reads from a path.
        out: the folder to write; with several averages, one folder for each is written in it.
        to: "open_clip", "transformers", "llava" or "timm".
        base: the weights that training started from, for averages; the recipe's unless given.
        average: shares of the trained tower, each giving one average with the base (WiSE-FT).
        push_to_hub: repository to upload to.
        allow_torchscript: also read TorchScript archives, which carry code.
        console: where it is said what was written.

    Raises:
        InputError: an option, the tower or the base cannot be used; nothing has been written then.
        RunError: the upload failed; the folders are complete.
    """
    _check_options(to, average, push_to_hub)
    targets = _targets(out, average)
    if len(targets) > 1:
        check_files_in(out)
    for folder in targets:
        check_replaceable(folder, checkpoint, *([base] if base else []))
    clip = load_clip(f"local-dir:{checkpoint}", allow_torchscript=allow_torchscript)
    history = history_of(checkpoint, clip.sha256, base, allow_torchscript=allow_torchscript)
    note = read_note(checkpoint).model_copy(
        update={"base_sha256": history.base_sha256, "trained_sha256": clip.sha256}
    )
    trained = {key: value.clone() if average else value for key, value in clip.model.state_dict().items()}
    start = _base_state(clip, history, allow_torchscript=allow_torchscript) if average else trained
    sources = [path for path in (clip.weights, history.base) if path]
    console = console or Console(quiet=True)
    for folder, alpha in targets.items():
        state = trained if alpha is None else average_states(start, trained, alpha)
        clip.model.load_state_dict(state)
        with phase(f"writing {printable(str(folder))}"), complete_folder(folder, *sources) as content:
            write_note(_averaged(note, alpha), content)
            FORMATS[to](clip, content)
            write_card(content, clip, history, kind=to, alpha=alpha)
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
    if len(average) < 2:
        return {out: average[0] if average else None}
    names = [f"{alpha:g}" for alpha in average]
    if len(set(names)) < len(names):
        raise Invalid("--average", f"two shares are written as {max(names, key=names.count)}; give one of them")
    return {out / f"alpha-{name}": alpha for name, alpha in zip(names, average, strict=True)}


def _check_options(to: str, average: Sequence[float], push_to_hub: str | None) -> None:
    if to not in FORMATS:
        raise Unknown("--to", f"there is no format '{to}'; {did_you_mean(to, FORMATS)}")
    wrong = [alpha for alpha in average if not 0 <= alpha <= 1]
    if wrong:
        raise Invalid("--average", f"{wrong[0]:g} is no share; give the trained tower's share, from 0 to 1")
    if push_to_hub and len(average) > 1:
        raise Invalid("--push-to-hub", "takes one tower; give --average one number")


def _base_state(clip: Clip, history: History, *, allow_torchscript: bool) -> States:
    if history.base is None:
        raise Missing("--base", "name the weights that training started from; no recipe beside the tower does")
    source = read_tower(history.base, allow_torchscript=allow_torchscript)
    return {key: value.float() for key, value in fitted(clip.model, source.state, history.base).items()}
