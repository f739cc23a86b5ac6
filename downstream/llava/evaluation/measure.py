"""One LLaVA on one benchmark: its answers, and the result file's content."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from diva.progress import steps
from diva.results import Clock, DataSource, Missing, Result
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.fingerprint import hash_lines
from diva_downstream.llava.evaluation import llava_bench
from diva_downstream.llava.evaluation.ask import Answerer
from diva_downstream.llava.evaluation.benchmarks import Benchmark, Questions
from diva_downstream.llava.evaluation.judge import Judge
from diva_downstream.llava.evaluation.model import Model
from diva_downstream.llava.evaluation.reviews import Reviews, read_rules
from diva_downstream.llava.evaluation.scored import Answered, Scored
from diva_downstream.llava.evaluation.submission import write_submission

ANSWERS, REVIEWS, SUBMISSION = "-answers.jsonl", "-reviews.jsonl", "-submission.xlsx"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What holds for every benchmark and every model of a run.

    Attributes:
        data: the folder that holds the benchmarks' folders.
        out: the folder for everything that is written.
        training: of all models of the run, for the protocol: what differs in it is kept apart in the report.
        first: how many questions, or pairs, are asked; None for all.
        device: for the result files.
        judge: of open answers, if there is one.
        backend: what answers, for the protocol; empty for transformers.
        console: for a line on what is asked.
    """

    data: Path
    out: Path
    training: str
    first: int | None
    device: str
    judge: Judge | None
    backend: str
    console: Console


def read_questions(benchmark: Benchmark, data: Path, first: int | None) -> Questions:
    """Return the questions of `benchmark` below `data`, with every picture decoded, which is then kept.

    Raises:
        InputError: a file is missing or cannot be used.
    """
    questions = benchmark.read(data, first)
    for document in steps(questions.documents, f"{benchmark.name}: decoding pictures"):
        benchmark.pictures(document)
    return questions


def measure(
    benchmark: Benchmark, questions: Questions, model: Model, answerer: Answerer, setting: Setting, *, name: str
) -> Result:
    """Ask a model the questions of a benchmark and score what it answers.

    Open answers are written to a file of their own, and stay without a score if there is no judge.

    Args:
        name: of the files that are written beside the result's.

    Raises:
        RunError: the judge cannot be asked, or a file cannot be written to.
    """
    clock = Clock([], setting.device)
    answered = answerer.ask(benchmark.lm_eval_task, data=setting.data, first=setting.first)
    reading, scored = questions.reading, Scored({}, [])
    if benchmark.submitted or not benchmark.score:  # first of all: the result file does not hold them
        llava_bench.write_answers(answered, model.subject.label, setting.out / f"{name}{ANSWERS}")
    if benchmark.score:
        scored = benchmark.score(answered)
    elif setting.judge:
        reading, scored = _judged(benchmark, questions, answered, setting, setting.judge)
    if benchmark.submitted:
        write_submission(answered, setting.out / f"{name}{SUBMISSION}")
    settings: dict[str, str | int | float] = {"reading": reading}
    if setting.first is not None:
        settings["first"] = setting.first
    settings |= {"language model": model.language_model, "training": setting.training}
    if setting.backend:
        settings["backend"] = setting.backend
    return Result(
        task=benchmark.task,
        part=benchmark.part,
        headline=benchmark.headline,
        settings=settings,
        subject=model.subject,
        data=DataSource(
            name=questions.name,
            path=str(questions.path),
            fingerprint=hash_lines(map(file_sha256, [*questions.files, *_pictures(questions)])),
            items=len(questions.documents),
        ),
        metrics=scored.metrics,
        missing=[] if scored.metrics else [Missing(name=benchmark.headline, reason="absent")],
        items=scored.items,
        run=clock.stop(),
    )


def _judged(
    benchmark: Benchmark, questions: Questions, answered: list[Answered], setting: Setting, judge: Judge
) -> tuple[str, Scored]:
    rules = read_rules(questions.path)
    reviews = Reviews(setting.out / f"{benchmark.name}{REVIEWS}")
    found = llava_bench.judge_all(answered, judge, rules, reviews)
    return f"judged by {judge.model}, {rules.name}", llava_bench.score(answered, found)


def _pictures(questions: Questions) -> list[Path]:
    found = dict.fromkeys(Path(document["file"]) for document in questions.documents)
    return [path for path in found if path not in questions.files]
