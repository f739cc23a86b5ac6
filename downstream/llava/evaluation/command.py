"""`diva llava eval`: one LLaVA, or two side by side, on questions about images."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from diva.atomic import check_files_in
from diva.device import usable_device
from diva.errors import Invalid, Mismatch, Missing, Unknown, Unsupported, did_you_mean
from diva.lock import locked
from diva.results import Result, write_result
from diva_downstream.llava.evaluation.ask import LM, Answerer, by_transformers, by_vllm
from diva_downstream.llava.evaluation.benchmarks import DEFAULT, Benchmark, Questions, find_benchmarks
from diva_downstream.llava.evaluation.judge import KEY, Judge
from diva_downstream.llava.evaluation.measure import ANSWERS, REVIEWS, SUBMISSION, Setting, measure, read_questions
from diva_downstream.llava.evaluation.model import Model, check_fair, read_model
from diva_downstream.llava.evaluation.pictures import with_pictures
from diva_downstream.llava.evaluation.served import KEY as SERVED_KEY
from diva_downstream.llava.evaluation.served import Served
from diva_downstream.llava.evaluation.show import show

BACKENDS = ("transformers", "vllm")


def run(
    model: Path,
    *,
    data: Path,
    out: Path,
    baseline: Path | None,
    benchmarks: Sequence[str],
    first: int | None,
    batch: int,
    device: str,
    judge_url: str | None,
    judge_model: str | None,
    backend: str = "transformers",
    served_url: str | None = None,
    served_model: str | None = None,
) -> None:
    """Measure `model`, and `baseline` where given, print the figures, and write a result file for each benchmark.

    Args:
        model, baseline: LLaVA folders in transformers' format.
        data: the folder that holds the benchmarks' folders.
        out: the folder for the result files, the open answers and their reviews, and the submission files.
        benchmarks: names from `diva_downstream.llava.evaluation.benchmarks.BENCHMARKS`; `DEFAULT` where none is
            given.
        first: how many questions, with all their rotations, or pairs of each are asked; None for all.
        batch: questions that are answered at once.
        judge_url, judge_model: an endpoint of chat completions and its model; both or neither.
        backend: what answers, one of `BACKENDS`.
        served_url, served_model: an endpoint of chat completions that answers for `model`, and its name there.

    Raises:
        InputError: something cannot be used, or another command is at work in `out`; nothing has been asked then.
        RunError: the judge cannot be asked, or a file cannot be written to; finished results are kept.
    """
    for option, value in (("--limit", 1 if first is None else first), ("--batch", batch)):
        if value < 1:
            raise Invalid(option, f"{value} is too few; give 1 or more")
    chosen, progress, console = find_benchmarks(benchmarks or DEFAULT), Console(stderr=True), Console()
    endings = (".json", ANSWERS, REVIEWS, SUBMISSION)
    check_files_in(out, *(f"{each.name}{ending}" for each in chosen for ending in endings))
    where = usable_device(device)
    asking = _asking(backend, served_url, served_model, baseline, batch, where)
    models = [read_model(folder) for folder in (model, baseline) if folder is not None]
    questions = {each.name: read_questions(each, data, first) for each in chosen}
    check_fair(models)
    setting = Setting(
        data=data,
        out=out,
        training=" / ".join(dict.fromkeys(each.training for each in models)),
        first=first,
        device=str(where),
        judge=_judge(judge_url, judge_model),
        backend="served" if served_url else "" if backend == BACKENDS[0] else backend,
        console=progress,
    )
    with locked(out):
        results = _measure(models, chosen, questions, setting, asking)
    show(results, console)
    for benchmark, result in zip(chosen, results, strict=True):
        if not result.metrics:
            console.print(Text(f"{benchmark.name}: no score, {_why(benchmark, setting)}."), soft_wrap=True)


def _measure(
    models: Sequence[Model],
    chosen: Sequence[Benchmark],
    questions: Mapping[str, Questions],
    setting: Setting,
    asking: Callable[[Path], LM],
) -> list[Result]:
    """Measure the model and its baseline, and write and return the result of each benchmark."""
    measured: list[dict[str, Result]] = []
    for number, each in enumerate(models):
        _warn(each, setting.console)
        answerer, found = Answerer(asking(each.folder)), {}
        for benchmark in chosen:
            setting.console.print(Text(f"{benchmark.name}: {each.folder}"))
            name = benchmark.name if number == 0 else f"{benchmark.name}-baseline"
            found[benchmark.name] = measure(
                benchmark, questions[benchmark.name], each, answerer, setting, name=name
            )
            if number == 0:  # kept even if the baseline should fail
                write_result(found[benchmark.name], _path(setting.out, benchmark))
        measured.append(found)
        del answerer  # frees the memory for the baseline
    results = [_with_baseline(benchmark, [found[benchmark.name] for found in measured]) for benchmark in chosen]
    results = [
        with_pictures(benchmark, questions[benchmark.name], result, setting.out)
        for benchmark, result in zip(chosen, results, strict=True)
    ]
    for benchmark, result in zip(chosen, results, strict=True):
        write_result(result, _path(setting.out, benchmark))
    return results


def _why(benchmark: Benchmark, setting: Setting) -> str:
    if benchmark.submitted:
        return f"the right answers are not public; submit the workbook in {setting.out}"
    if setting.judge is None:
        return f"for want of --judge-url; the answers are in {setting.out}"
    return "since the judge wrote two scores on the first line of none of its reviews"


def _judge(url: str | None, model: str | None) -> Judge | None:
    if url is None and model is None:
        return None
    if url is None or model is None:
        given, other = ("--judge-model", "--judge-url") if url is None else ("--judge-url", "--judge-model")
        raise Missing(given, f"is not enough; give {other} with it")
    return Judge(url, model, key=os.environ.get(KEY))


def _asking(
    backend: str, url: str | None, name: str | None, baseline: Path | None, batch: int, device: torch.device
) -> Callable[[Path], LM]:
    """Return what makes a folder answer."""
    if backend not in BACKENDS:
        raise Unknown("--backend", f"there is no '{backend}'; {did_you_mean(backend, BACKENDS)}")
    if (url is None) != (name is None):
        given, other = ("--served-model", "--served-url") if url is None else ("--served-url", "--served-model")
        raise Missing(given, f"is not enough; give {other} with it")
    if url is not None and name is not None:
        if backend != BACKENDS[0]:
            raise Mismatch("--backend", f"{backend} and --served-url cannot both answer; leave one out")
        if baseline is not None:
            raise Unsupported("--against", "a server answers for one model; measure the two one after the other")
        served = Served(url, name, key=os.environ.get(SERVED_KEY), together=batch)
        return lambda _: served
    if backend == "vllm":
        return by_vllm(batch)
    return partial(by_transformers, batch=batch, device=device)


def _warn(model: Model, console: Console) -> None:
    if model.record and model.record.needs_stage_1:
        console.print(Text(f"{model.folder}: its projector is random until stage 1 is trained", style="yellow"))


def _with_baseline(benchmark: Benchmark, results: Sequence[Result]) -> Result:
    if len(results) == 1:
        return results[0]
    result, baseline = results
    return result.model_copy(update={"baseline": baseline, "comparisons": benchmark.compare(result, baseline)})


def _path(out: Path, benchmark: Benchmark) -> Path:
    return out / f"{benchmark.name}.json"
