"""The benchmarks that a LLaVA is measured on, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from diva.errors import Invalid, Unknown, did_you_mean
from diva.evaluation.comparison import compare
from diva.results import Comparison, Result
from diva_downstream.llava.evaluation import llava_bench, mmbench, mme, mmvp, pope
from diva_downstream.llava.evaluation.graded import score as graded_score
from diva_downstream.llava.evaluation.scored import Answered, Scored
from diva_downstream.llava.tasks import graded_tasks
from diva_downstream.llava.tasks import llava_bench as llava_bench_task
from diva_downstream.llava.tasks import mmbench as mmbench_task
from diva_downstream.llava.tasks import mme as mme_task
from diva_downstream.llava.tasks import mmvp as mmvp_task
from diva_downstream.llava.tasks import pope as pope_task
from diva_downstream.llava.tasks.graded import Graded
from diva_downstream.llava.tasks.source import Document

LLAVA_BENCH = "llava-bench-wild"
LETTERS = "letters by rule"


@dataclass(frozen=True, kw_only=True)
class Questions:
    """A benchmark's questions as they lie on the disk.

    Attributes:
        name: of the data, for result files.
        path: the file or folder.
        files: what the questions are made of, beside their pictures.
        documents: every question that is to be asked.
        reading: how the answers are read, for the protocol.
    """

    name: str
    path: Path
    files: Sequence[Path]
    documents: Sequence[Document]
    reading: str


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        task, part: as results call it.
        lm_eval_task: that asks its questions.
        read: data folder, number of questions or None → its questions.
        score: answers → figures; None where only a judge can tell.
        compare: result, baseline → comparisons, the headline's first.
        pictures: document → its pictures.
        item: document → the id of the item that it belongs to.
        submitted: whether the right answers are a server's secret.
    """

    task: str
    part: str = ""
    headline: str
    lm_eval_task: str
    read: Callable[[Path, int | None], Questions]
    score: Callable[[Sequence[Answered]], Scored] | None
    compare: Callable[[Result, Result], list[Comparison]]
    pictures: Callable[[Document], Sequence[Image.Image]]
    item: Callable[[Document], str]
    submitted: bool = False

    @property
    def name(self) -> str:
        """As options and files call it."""
        return f"{self.task}-{self.part}" if self.part else self.task


def find_benchmarks(names: Sequence[str]) -> list[Benchmark]:
    """Return the benchmarks of these names.

    Raises:
        InputError: a name is unknown or comes twice.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise Unknown("--benchmarks", f"'{name}' is unknown; {did_you_mean(name, BENCHMARKS)}")
        if names.count(name) > 1:
            raise Invalid("--benchmarks", f"'{name}' is named twice; name it once")
    return [BENCHMARKS[name] for name in names]


def _mmbench(language: str, split: str) -> Benchmark:
    def read(data: Path, first: int | None) -> Questions:
        path = mmbench_task.locate(data, language, split)
        documents = mmbench_task.documents(data=str(data), first=first, language=language, split=split)["test"]
        reading = LETTERS if split == "dev" else "for the server to score"
        return Questions(name=path.stem, path=path, files=[path], documents=list(documents), reading=reading)

    return Benchmark(
        task="mmbench",
        part=f"{language}-{split}",
        headline=mmbench.HEADLINE,
        lm_eval_task=f"mmbench_{language}_{split}",
        read=read,
        score=mmbench.score,
        compare=mmbench.comparisons if split == "dev" else lambda *_: [],
        pictures=mmbench_task.doc_to_image,
        item=lambda document: str(document["group"]),
        submitted=split == "test",
    )


def _mmvp(data: Path, first: int | None) -> Questions:
    path = mmvp_task.locate(data)
    everything = mmvp_task.read(path)
    return Questions(
        name="MMVP",
        path=path,
        files=[path / mmvp_task.QUESTIONS],
        documents=everything[: None if first is None else 2 * first],
        reading=f"{LETTERS}, {mmvp_task.labels_version(everything)} labels",
    )


def _pope(negatives: str) -> Benchmark:
    def read(data: Path, first: int | None) -> Questions:
        path = pope_task.locate(data, negatives)
        documents = pope_task.documents(data=str(data), first=first, negatives=negatives)["test"]
        return Questions(
            name=path.stem, path=path, files=[path], documents=list(documents), reading="yes or no by LLaVA rule"
        )

    return Benchmark(
        task="pope",
        part=negatives,
        headline=pope.HEADLINE,
        lm_eval_task=f"pope_{negatives}",
        read=read,
        score=pope.score,
        compare=lambda result, baseline: [compare(result, baseline, pope.HEADLINE)],
        pictures=pope_task.doc_to_image,
        item=lambda document: str(document["line"]),
    )


def _llava_bench(data: Path, first: int | None) -> Questions:
    path = llava_bench_task.locate(data)
    names = (llava_bench_task.QUESTIONS, llava_bench_task.CONTEXT, llava_bench_task.REFERENCES)
    return Questions(
        name="LLaVA-Bench",
        path=path,
        files=[path / name for name in names],
        documents=llava_bench_task.read(path)[:first],
        reading="not judged",
    )


def _graded(graded: Graded) -> Benchmark:
    def read(data: Path, first: int | None) -> Questions:
        files = list(graded.locate(data))
        found = graded_tasks.documents(data=str(data), first=first, benchmark=graded.name)["test"]
        return Questions(
            name=graded.data,
            path=files[0].parent,
            files=files,
            documents=list(found),
            reading=graded.reading,
        )

    headline = graded.figures[0]
    return Benchmark(
        task=graded.name,
        headline=headline,
        lm_eval_task=graded.name.replace("-", "_"),
        read=read,
        score=partial(graded_score, graded),
        compare=lambda result, baseline: [compare(result, baseline, headline)],
        pictures=graded_tasks.doc_to_image,
        item=lambda document: str(document["units"][headline]),
    )


BENCHMARKS = {
    each.name: each
    for each in (
        *(_mmbench(language, split) for split in ("dev", "test") for language in ("en", "cn")),
        Benchmark(
            task="mmvp-vqa",
            headline=mmvp.HEADLINE,
            lm_eval_task="mmvp_vqa",
            read=_mmvp,
            score=mmvp.score,
            compare=lambda result, baseline: [compare(result, baseline, mmvp.HEADLINE)],
            pictures=mmvp_task.doc_to_image,
            item=mmvp.pair_name,
        ),
        *(_pope(negatives) for negatives in pope_task.NEGATIVES),
        Benchmark(
            task="llava-bench",
            part="wild",
            headline=llava_bench.HEADLINE,
            lm_eval_task="llava_bench_wild",
            read=_llava_bench,
            score=None,
            compare=llava_bench.comparisons,
            pictures=llava_bench_task.doc_to_image,
            item=lambda document: str(document["question_id"]),
        ),
        replace(
            _graded(mme_task.BENCHMARK), headline=mme.HEADLINE, score=mme.score, compare=mme.comparisons
        ),  # whose figures are totals
        *(_graded(each) for each in graded_tasks.GRADED.values() if not each.totals),
    )
}
DEFAULT = ("mmbench-en-dev", "mmvp-vqa", *(f"pope-{negatives}" for negatives in pope_task.NEGATIVES), LLAVA_BENCH)
