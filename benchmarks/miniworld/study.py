"""Running the plan: every (base, setting, seed) once, kept as soon as it is done, so a killed study goes on."""

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from pydantic import BaseModel
from rich.console import Console
from torch import Tensor

from diva.atomic import discard, new_folder
from diva.documents import read_model
from diva.errors import InputError, RunError
from diva.exporting.average import average
from diva.exporting.open_clip_format import write_open_clip
from diva.miniworld.base import Base
from diva.miniworld.captions import full_captions
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.writers import write_shards
from diva.progress import phase, steps
from diva.recipes import Recipe, load_recipe
from diva.run_folder import MetricsLine, RunFolder, read_metrics
from diva.towers import load_clip
from diva.training import train
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.measure import TowerEvaluator
from diva_benchmarks.miniworld.plan import Distillation, Plan, Setting, Teacher
from diva_benchmarks.miniworld.pretrain import Settings
from diva_benchmarks.miniworld.rows import (
    MOVING_AVERAGE,
    ORIGINAL,
    Gaps,
    Row,
    Run,
    averaged,
    read_rows,
    write_rows,
)
from diva_benchmarks.miniworld.self_distillation import self_distil
from diva_benchmarks.miniworld.summary import TRAINED
from diva_benchmarks.miniworld.teacher import MiniatureTeacher
from diva_benchmarks.miniworld.teacher_training import weaker_teacher

SHARDS = 4
SEED_OF_WORLDS = 302


class _BaseRecipe(BaseModel):
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


def run(plan: Plan, bases: Path, work: Path, path: Path, *, processes: int, console: Console) -> None:
    """Run what is left of `plan`; the rows are written whenever a run is done.

    Args:
        plan: what is compared.
        bases: holds a folder, as `diva miniworld pretrain` writes it, for each base that is left to run on.
        work: worlds, weaker teachers and logs; what lies there is used again.
        path: the file of the rows.
        processes: runs at once, one core each.
        console: where it is said that nothing is left.

    Raises:
        InputError: a base is missing, or is another than that of the rows.
        RunError: some runs failed; the others are kept.
    """
    rows = read_rows(path, plan)
    done = {(row.setting, row.base, row.seed) for row in rows}
    left = [job for job in _jobs(plan) if (job.name, job.base, job.seed) not in done]
    needed = {number: Base(bases / str(number)) for number in sorted({job.base for job in left})}
    for number, base in needed.items():
        if not base.recipe.is_file():
            raise InputError(
                f"{base.path}: is not a complete base; run diva miniworld pretrain --out {base.path}"
                f" --seed {number}"
            )
    for row in rows:
        if row.base in needed and row.base_sha256 != _base_sha256(needed[row.base]):
            raise InputError(f"{path}: holds rows of another base {row.base}; name another folder with --out")
    if not left:
        console.print("every run of the plan has been done")
        return
    _prepare(plan, left, bases, work)
    failed = []
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = {pool.submit(_run_job, job, plan, bases, work): job for job in left}
        for future in steps(as_completed(futures), "runs of the study", len(left)):
            job = futures[future]
            if error := future.exception():
                failed.append(f"{job.name}, base {job.base}, seed {job.seed}: {error}")
            else:
                rows += future.result()
                write_rows(rows, path)
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


@phase("writing worlds and weaker teachers")
def _prepare(plan: Plan, jobs: list[Job], bases: Path, work: Path) -> None:
    """Make the worlds and the weaker teachers that the jobs need, where they do not lie there yet."""
    for seed in {job.seed for job in jobs if job.seed is not None}:
        if not _shards(work, seed).is_dir():
            _write_shards(plan.images, seed, _shards(work, seed))
    for number, kind in {(job.base, job.setting.teacher) for job in jobs if isinstance(job.setting, Setting)}:
        folder = _teacher(bases, work, number, kind)
        if not folder.is_dir():
            _make_teacher(Base(bases / str(number)), plan.early_steps if kind == "early" else 0, number, folder)


def _make_teacher(base: Base, steps: int, seed: int, folder: Path) -> None:
    schedule = _read_base(base).settings.unet.model_copy(update={"steps": steps})
    trained = MiniatureTeacher.load(base.teacher)
    with TemporaryDirectory() as checkpoints, new_folder(folder) as content:
        weaker_teacher(trained, schedule, seed=seed, folder=Path(checkpoints)).save(content)


def _write_shards(images: int, seed: int, folder: Path) -> None:
    scenes = _scenes(images, seed)
    with new_folder(folder) as content:
        write_shards(scenes, full_captions(scenes), content, per_shard=images // SHARDS)


def _scenes(images: int, seed: int) -> Scenes:
    return draw(images, generator(SEED_OF_WORLDS, seed))


def _shards(work: Path, seed: int) -> Path:
    return work / "shards" / str(seed)


def _teacher(bases: Path, work: Path, number: int, kind: Teacher) -> Path:
    base = Base(bases / str(number))
    own = {"trained": base.teacher, "decoder": base.decoder}
    return own.get(kind, work / "teachers" / f"{number}-{kind}")


def _run_job(job: Job, plan: Plan, bases: Path, work: Path) -> list[Row]:
    """Train, measure, and remove the weights."""
    base = Base(bases / str(job.base))
    clip = load_clip(str(base.clip))
    evaluator = TowerEvaluator(clip, plan.sizes)
    row = partial(
        Row,
        terms=plan.terms(job.name),
        base_sha256=_base_sha256(base),
        setting=job.name,
        base=job.base,
        seed=job.seed,
    )
    if job.setting is None:
        return [row(measured=evaluator.measure(clip))]
    folder = RunFolder(work / "runs" / f"base{job.base}-seed{job.seed}-setting{plan.settings.index(job.setting)}")
    discard(folder.path)  # of a study that was killed
    folder.path.mkdir(parents=True)
    run = _trained(job, plan, bases, work, folder)
    before, trained = _weights(base.clip), _weights(folder.tower)
    variants = {TRAINED: trained}
    if folder.moving_average.is_dir():
        variants[MOVING_AVERAGE] = _weights(folder.moving_average)
    for share in plan.averages if job.name in plan.averaged else ():
        variants[averaged(share)] = average(before, trained, share)
    found = []
    for name, weights in variants.items():
        clip.model.load_state_dict(weights)
        found.append(row(weights=name, measured=evaluator.measure(clip), run=run))
    discard(folder.path)
    return found


def _trained(job: Job, plan: Plan, bases: Path, work: Path, folder: RunFolder) -> Run:
    """Train what `job` says into `folder`, which then holds a tower."""
    seed = job.seed or 0
    log = folder.path / "output.log"
    with log.open("w") as out, contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        began = time.process_time()
        if isinstance(job.setting, Distillation):
            schedule = job.setting.self_distillation
            _distil(Base(bases / str(job.base)), _scenes(plan.images, seed), schedule, seed, folder)
            seconds = time.process_time() - began
            return Run(gaps=None, warnings=(), images=schedule.steps * schedule.batch, cpu_seconds=seconds)
        assert job.setting is not None
        recipe = _recipe(job.setting, plan, seed=seed, bases=bases, work=work, base=job.base)
        train(recipe, folder.path)
    lines = read_metrics(folder.metrics)
    return Run(
        gaps=_gaps(lines, recipe),
        warnings=tuple(warning for line in lines for warning in line.warnings),
        images=sum(stage.steps or 0 for stage in recipe.stages) * recipe.training.global_batch,
        cpu_seconds=time.process_time() - began,
    )


def _distil(base: Base, scenes: Scenes, schedule: Schedule, seed: int, folder: RunFolder) -> None:
    clip = load_clip(str(base.clip))
    self_distil(clip, scenes, schedule, seed=seed, folder=folder.path)
    write_open_clip(clip, folder.tower)


def _base_sha256(base: Base) -> str:
    """Tell bases apart by their weights."""
    return hashlib.sha256(json.dumps(_read_base(base).weights).encode()).hexdigest()


def _read_base(base: Base) -> _BaseRecipe:
    return read_model(base.recipe, _BaseRecipe, "make the base again with diva miniworld pretrain")


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_clip(str(folder)).model.state_dict()


def _recipe(setting: Setting, plan: Plan, *, seed: int, bases: Path, work: Path, base: int) -> Recipe:
    shards = round(SHARDS * setting.data)
    return load_recipe(
        setting.recipe,
        [
            f"seed={seed}",
            f"tower.name={Base(bases / str(base)).clip}",
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
