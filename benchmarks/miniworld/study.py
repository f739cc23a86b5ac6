"""Running the plan: every (base, setting, seed) once, kept as soon as it is done, so a killed study goes on."""

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from diva.atomic import discard, new_folder
from diva.denoisers.miniature_teacher import MiniatureTeacher
from diva.documents import read_model
from diva.errors import InputError, RunError
from diva.exporting.average import average
from diva.exporting.open_clip_format import write_open_clip
from diva.miniworld.captions import full_captions
from diva.miniworld.fit import Plan as Length
from diva.miniworld.gates import CLIP_FOLDER, TEACHER_FOLDER
from diva.miniworld.pretrain import DECODER_FOLDER, RECIPE, Settings
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.self_distillation import self_distil
from diva.miniworld.teacher_training import weaker_teacher
from diva.miniworld.writers import write_shards
from diva.recipes import Recipe, load_recipe
from diva.run_folder import MetricsLine, RunFolder, read_metrics
from diva.towers import load_clip
from diva_benchmarks.miniworld.measure import Yardstick
from diva_benchmarks.miniworld.plan import Distillation, Plan, Setting, Teacher
from diva_benchmarks.miniworld.rows import (
    MOVING_AVERAGE,
    ORIGINAL,
    Gaps,
    Row,
    Run,
    averaged,
    read_rows,
    row_path,
    write_rows,
)
from diva_benchmarks.miniworld.summary import TRAINED

Train = Callable[[Recipe, Path], None]
SHARDS = 4
SEED_OF_WORLDS = 302


class _Base(BaseModel):
    """What `diva miniworld pretrain` notes of a base: how it was trained, and its weights files' SHA-256."""

    settings: Settings
    weights: dict[str, str]


class Job(NamedTuple):
    """One run; `setting` is None for the base's own tower."""

    base: int
    setting: Setting | Distillation | None
    seed: int | None

    @property
    def name(self) -> str:
        """The setting's name in the table."""
        return self.setting.name if self.setting else ORIGINAL


def run(plan: Plan, bases: Path, work: Path, rows: Path, *, train: Train, processes: int, console: Console) -> None:
    """Run what is left of `plan`.

    Args:
        plan: what is compared.
        bases: holds a folder, as `diva miniworld pretrain` writes it, for each base that is left to run on.
        work: worlds, weaker teachers and logs; what lies there is used again.
        rows: where the rows are kept.
        train: trains a recipe into a folder, which then holds `tower/` and `metrics.jsonl`.
        processes: runs at once, one core each.
        console: where the progress is drawn.

    Raises:
        InputError: a base is missing, or is another than that of the rows.
        RunError: some runs failed; the others are kept.
    """
    left = [job for job in _jobs(plan) if not row_path(rows, job.name, job.base, job.seed).is_file()]
    needed = {job.base for job in left}
    for base in sorted(needed):
        if not (bases / str(base) / RECIPE).is_file():
            raise InputError(
                f"{bases / str(base)}: is no complete base; run diva miniworld pretrain --out {bases / str(base)}"
                f" --seed {base}"
            )
    for row in read_rows(rows, plan):
        if row.base in needed and row.base_sha256 != _base_sha256(bases / str(row.base)):
            raise InputError(f"{rows}: holds rows of another base {row.base}; name another folder with --out")
    if not left:
        console.print("every run of the plan has been done")
        return
    _prepare(plan, left, bases, work)
    failed = []
    with (
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads,
                            initargs=(1,)) as pool,
        Progress(console=console) as progress,
    ):  # fmt: skip
        task = progress.add_task("study", total=len(left))
        futures = {pool.submit(_run_job, job, plan, bases, work, rows, train): job for job in left}
        for future in as_completed(futures):
            job = futures[future]
            if error := future.exception():
                failed.append(f"{job.name}, base {job.base}, seed {job.seed}: {error}")
            progress.advance(task)
    if failed:
        raise RunError(f"{len(failed)} of {len(left)} runs failed, the others are kept: {'; '.join(failed)}")


def _jobs(plan: Plan) -> Iterator[Job]:
    """Yield every run; all settings of one base and seed before the next, so a part of the study is a fair one."""
    for base in plan.bases:
        yield Job(base, None, None)
    for seed in plan.seeds:
        for base in plan.bases:
            for setting in plan.settings:
                yield Job(base, setting, seed)


def _prepare(plan: Plan, jobs: list[Job], bases: Path, work: Path) -> None:
    """Make the worlds and the weaker teachers that the jobs need, where they do not lie there yet."""
    for seed in {job.seed for job in jobs if job.seed is not None}:
        if not _shards(work, seed).is_dir():
            _write_shards(plan.images, seed, _shards(work, seed))
    for base, kind in {(job.base, job.setting.teacher) for job in jobs if isinstance(job.setting, Setting)}:
        folder = _teacher(bases, work, base, kind)
        if not folder.is_dir():
            _make_teacher(bases / str(base), plan.early_steps if kind == "early" else 0, base, folder)


def _make_teacher(base: Path, steps: int, seed: int, folder: Path) -> None:
    plan = _read_base(base).settings.unet.model_copy(update={"steps": steps})
    trained = MiniatureTeacher.load(base / TEACHER_FOLDER)
    with TemporaryDirectory() as checkpoints, new_folder(folder) as content:
        weaker_teacher(trained, plan, seed=seed, folder=Path(checkpoints)).save(content)


def _write_shards(images: int, seed: int, folder: Path) -> None:
    scenes = _scenes(images, seed)
    with new_folder(folder) as content:
        write_shards(scenes, full_captions(scenes), content, per_shard=images // SHARDS)


def _scenes(images: int, seed: int) -> Scenes:
    return draw(images, generator(SEED_OF_WORLDS, seed))


def _shards(work: Path, seed: int) -> Path:
    return work / "shards" / str(seed)


def _teacher(bases: Path, work: Path, base: int, kind: Teacher) -> Path:
    shipped = {"trained": TEACHER_FOLDER, "decoder": DECODER_FOLDER}
    return bases / str(base) / shipped[kind] if kind in shipped else work / "teachers" / f"{base}-{kind}"


def _run_job(job: Job, plan: Plan, bases: Path, work: Path, rows: Path, train: Train) -> None:
    """Train, measure, keep the rows, and remove the weights."""
    base, path = bases / str(job.base), row_path(rows, job.name, job.base, job.seed)
    clip = load_clip(str(base / CLIP_FOLDER))
    yardstick = Yardstick(clip, plan.sizes)
    row = partial(
        Row,
        terms=plan.terms(job.name),
        base_sha256=_base_sha256(base),
        setting=job.name,
        base=job.base,
        seed=job.seed,
    )
    if job.setting is None:
        write_rows([row(measured=yardstick.measure(clip))], path)
        return
    folder = work / "runs" / path.stem
    discard(folder)  # of a study that was killed
    folder.mkdir(parents=True)
    run = _trained(job, plan, bases, work, train, folder)
    before, trained = (_weights(each) for each in (base / CLIP_FOLDER, RunFolder(folder).tower))
    variants = {TRAINED: trained}
    if RunFolder(folder).moving_average.is_dir():
        variants[MOVING_AVERAGE] = _weights(RunFolder(folder).moving_average)
    for share in plan.averages if job.name in plan.averaged else ():
        variants[averaged(share)] = average(before, trained, share)
    found = []
    for name, weights in variants.items():
        clip.model.load_state_dict(weights)
        found.append(row(weights=name, measured=yardstick.measure(clip), run=run))
    write_rows(found, path)
    discard(folder)


def _trained(job: Job, plan: Plan, bases: Path, work: Path, train: Train, folder: Path) -> Run:
    """Train what `job` says into `folder`, which then holds `tower/`."""
    seed, clip = job.seed or 0, bases / str(job.base) / CLIP_FOLDER
    with (folder / "output.log").open("w") as log, contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
        began = time.process_time()
        if isinstance(job.setting, Distillation):
            length = job.setting.self_distillation
            _distil(clip, _scenes(plan.images, seed), length, seed, folder)
            seconds = time.process_time() - began
            return Run(gaps=None, warnings=(), images=length.steps * length.batch, cpu_seconds=seconds)
        assert job.setting is not None
        recipe = _recipe(job.setting, plan, seed, str(clip), bases, work, job.base)
        train(recipe, folder)
    lines = read_metrics(RunFolder(folder).metrics)
    return Run(
        gaps=_gaps(lines, recipe),
        warnings=tuple(warning for line in lines for warning in line.warnings),
        images=sum(stage.steps or 0 for stage in recipe.stages) * recipe.training.global_batch,
        cpu_seconds=time.process_time() - began,
    )


def _distil(clip_folder: Path, scenes: Scenes, length: Length, seed: int, folder: Path) -> None:
    clip = load_clip(str(clip_folder))
    with Progress() as progress:
        self_distil(clip, scenes, length, seed=seed, folder=folder, progress=progress)
    write_open_clip(clip, RunFolder(folder).tower)


def _base_sha256(base: Path) -> str:
    """Tell bases apart by their weights."""
    return hashlib.sha256(json.dumps(_read_base(base).weights).encode()).hexdigest()


def _read_base(base: Path) -> _Base:
    return read_model(base / RECIPE, _Base, "make the base again with diva miniworld pretrain")


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_clip(str(folder)).model.state_dict()


def _recipe(setting: Setting, plan: Plan, seed: int, clip: str, bases: Path, work: Path, base: int) -> Recipe:
    shards = round(SHARDS * setting.data)
    return load_recipe(
        setting.recipe,
        [
            f"seed={seed}",
            f"tower.name={clip}",
            f"denoiser.path={_teacher(bases, work, base, setting.teacher)}",
            f"data.source={_shards(work, seed)}/{{00000..{shards - 1:05d}}}.tar",
            *plan.change,
            *setting.change,
        ],
    )


def _gaps(lines: Sequence[MetricsLine], recipe: Recipe) -> Gaps | None:
    gaps = {line.step: line.curves["gap"] for line in lines if "gap" in line.curves}
    if not gaps:
        return None
    without_tower = itertools.takewhile(lambda stage: "tower" not in stage.train, recipe.stages)
    steps = sum(stage.steps or 0 for stage in without_tower)
    return Gaps(first=gaps[min(gaps)], before_tower=gaps.get(steps), last=gaps[max(gaps)])
