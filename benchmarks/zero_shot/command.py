"""`diva bench zero-shot`: one tower, or two side by side, on the sets that are there."""

from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.text import Text

from diva.atomic import check_file, check_files_in
from diva.device import usable_device
from diva.errors import Failed, InputError, printable
from diva.evaluation.judgement import check_margin
from diva.progress import steps
from diva.results import Clock, Result, read_result, write_result
from diva.towers import Clip, load_clip
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.options import named_towers, require_positive
from diva_benchmarks.subject import subject_of
from diva_benchmarks.tensor_cache import TensorCache
from diva_benchmarks.zero_shot.data import read_set
from diva_benchmarks.zero_shot.evaluate import evaluate_set, kept_result
from diva_benchmarks.zero_shot.locate import Located, locate_sets, unlisted_sets
from diva_benchmarks.zero_shot.show import show
from diva_benchmarks.zero_shot.summary import summarise


class _Files(NamedTuple):
    """Where results are written: the summary's file, from which each set's is named."""

    summary: Path

    def of_set(self, name: str) -> Path:
        return self.summary.with_name(f"{self.summary.stem}-{name}.json")


def run(
    tower: str,
    *,
    against: str | None,
    checkpoint: Path | None,
    against_checkpoint: Path | None,
    data: Path,
    sets: str | None,
    out: Path | None,
    cache: Path | None,
    batch: int,
    device: str,
    margin: float,
    text_from: str | None = None,
) -> None:
    """Measure `tower`, and `against` where given, on every set, print the table, and write the result files.

    A set's result is written as soon as it is measured, and is kept by a later run of the same towers on the same
    data; embeddings are kept in the cache. What a run finds there it says.

    Args:
        tower, against: names that `diva.towers.load_clip` takes.
        checkpoint, against_checkpoint: the weights files of `tower` and `against`.
        data: the folder that holds a folder for each set.
        sets: comma-separated names; None for the 29.
        out: a folder for `zero_shot.json` and `zero_shot-<set>.json`, or a file NAME.json for the first of them,
            with NAME-<set>.json beside it.
        cache: a folder for embeddings and text classifiers; `cache` beside the results unless given.
        batch: images that are encoded at once.
        device: a torch device.
        margin: the loss of the average in percentage points that still counts as preserved.
        text_from: the whole model that `tower`, an image tower alone, was trained from.

    Raises:
        InputError: an option cannot be used or no set is there; nothing has been measured then.
        RunError: a set could not be measured; the others have been.
    """
    require_positive({"--batch": batch})
    named = named_towers(tower, checkpoint, text_from, against, against_checkpoint)
    check_margin(margin)
    files, where, located = _files(out), usable_device(device), locate_sets(data, sets)
    if files is not None:
        for path in (files.summary, *(files.of_set(each.spec.name) for each in located)):
            check_file(path)
    progress = Console(stderr=True)
    if cache is None and files is not None:
        cache = files.summary.with_name("cache")
    store = TensorCache(cache, progress)
    encoders = [
        _encoder(load_clip(name, weights, text_from=text), name, where, store, batch)
        for name, weights, text in named
    ]
    if sets is None and (unlisted := unlisted_sets(data)):
        said = (
            f"not among the 29 sets, and not measured: {', '.join(unlisted)}; to measure them, name them in --sets"
        )
        progress.print(Text(printable(said)), soft_wrap=True)
    clock = Clock([], str(where))
    results: dict[str, Result] = {}
    failed: list[str] = []
    for each in steps([each for each in located if each.folders], "zero-shot sets"):
        try:
            results[each.spec.name] = _measure(each, encoders, files, store)
        except InputError as error:
            failed.append(each.spec.name)
            progress.print(Text(printable(f"{each.spec.name}: not measured: {error}")))
    if results:
        absent = [each.spec.name for each in located if not each.folders]
        summary = summarise(results, absent, failed, margin=margin, data=data, run=clock.stop())
        show(results, summary, Console())
        if files is not None:
            _write_summary(summary, files.summary, progress)
    if failed:
        raise Failed(
            "zero-shot", f"{len(failed)} sets could not be measured ({', '.join(failed)}); see the reasons above"
        )


def _encoder(clip: Clip, name: str, device: torch.device, cache: TensorCache, batch: int) -> Encoder:
    clip.model.to(device)
    encoder = Encoder(clip, cache, batch)
    encoder.text_hash([name])  # without a text tower no set can be measured: said once, before any is tried
    return encoder


def _measure(located: Located, encoders: list[Encoder], files: _Files | None, cache: TensorCache) -> Result:
    data = read_set(located.spec, located.folders, cache.folder)
    path = files and files.of_set(located.spec.name)
    kept = path and kept_result(path, [subject_of(each.clip) for each in encoders], data)
    if kept:
        cache.console.print(Text(f"{located.spec.name}: unchanged, {path} is kept"), soft_wrap=True)
        return kept
    result = evaluate_set(encoders, data)
    if path:
        write_result(result, path)
    return result


def _write_summary(summary: Result, path: Path, console: Console) -> None:
    if path.is_file():
        try:
            same = _content(read_result(path)) == _content(summary)
        except InputError:
            same = False  # damaged, or of an older schema
        if same:
            console.print(Text(f"summary: unchanged, {path} is kept"), soft_wrap=True)
            return
    write_result(summary, path)


def _content(result: Result) -> dict[str, object]:
    return result.model_dump(exclude={"run": True, "baseline": {"run"}})


def _files(out: Path | None) -> _Files | None:
    if out is None:
        return None
    if out.suffix == ".json":
        return _Files(out)
    check_files_in(out)
    return _Files(out / "zero_shot.json")
