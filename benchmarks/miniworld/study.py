"""Running the plan: every (base, setting, seed) once, kept as soon as it is done, so a killed study goes on."""

import contextlib
import hashlib
import io
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
import yaml
from pydantic import BaseModel
from rich.console import Console
from torch import Tensor

from diva.atomic import discard, new_folder, replacing, write_json
from diva.documents import read_model
from diva.errors import Failed, Missing, Occupied
from diva.exporting.average import average
from diva.exporting.open_clip_format import write_open_clip
from diva.miniworld.base import Base
from diva.miniworld.captions import full_captions
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.writers import write_shards
from diva.progress import phase
from diva.recipes import Recipe, load_recipe
from diva.recipes.files import merged, read_fields
from diva.recipes.objectives import Verdicts
from diva.run_folder import MetricsLine, RunFolder, read_metrics
from diva.towers import load_clip
from diva.training import train
from diva.training.judging import judge
from diva.verdicts.judge import Judge
from diva.verdicts.statements import LISTS
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.labels import Labels
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
VERDICTS, COST = "verdicts", "cost.json"
SEED_OF_WORLDS = 302


class _Cost(BaseModel):
    """Of one judging."""

    cpu_seconds: float


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
    batches = [[job for job in batch if (job.name, job.base, job.seed) not in done] for batch in _batches(plan)]
    left = [job for batch in batches for job in batch]
    needed = {number: Base(bases / str(number)) for number in sorted({job.base for job in left})}
    missing = [number for number, base in needed.items() if not base.recipe.is_file()]
    if missing:
        first = needed[missing[0]].path
        lacks = Missing(
            first, f"is not a complete base; run diva miniworld pretrain --out {first} --seed {missing[0]}"
        )
        if len(missing) == len(needed):
            raise lacks
        console.print(f"left for later: {', '.join(map(str, missing))} ({lacks})", markup=False)
        batches = [[job for job in batch if job.base not in missing] for batch in batches]
        needed = {number: base for number, base in needed.items() if number not in missing}
    for row in rows:
        if row.base in needed and row.base_sha256 != _base_sha256(needed[row.base]):
            raise Occupied(path, f"holds rows of another base {row.base}; name another folder with --out")
    if not left:
        console.print("every run of the plan has been done")
        return
    failed = []
    spawn, total = get_context("spawn"), sum(map(len, batches))
    with (
        ProcessPoolExecutor(processes, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        phase("runs of the study", total) as progress,
    ):
        for batch in batches:
            _prepare(plan, batch, bases, work)
            # settings share verdicts; where judging fails, each of them tries it again and says why
            wait(
                [
                    pool.submit(_judged, recipe, job, plan, work)
                    for recipe, job in _to_judge(batch, plan, bases, work)
                ]
            )
            futures = {pool.submit(_run_job, job, plan, bases, work): job for job in batch}
            for future in as_completed(futures):
                job = futures[future]
                if error := future.exception():
                    failed.append(f"{job.name}, base {job.base}, seed {job.seed}: {error}")
                else:
                    rows += future.result()
                    write_rows(rows, path)
                progress.advance()
    if failed:
        raise Failed(f"{len(failed)} of {total} runs failed, the others are kept: {'; '.join(failed)}")


def _batches(plan: Plan) -> Iterator[list[Job]]:
    """Yield every run, in batches of which one ends before the next begins, so a part of the study is a fair one.

    Without primary settings, all of one base and seed come before the next.
    """
    if not plan.primary:
        untrained = [Job(base, None, None) for base in plan.bases]
        trained = itertools.product(plan.seeds, plan.bases, plan.settings)
        yield untrained + [Job(base, setting, seed) for seed, base, setting in trained]
        return
    for base in plan.bases:
        yield [Job(base, None, None)]
        for first in (True, False):
            chosen = [setting for setting in plan.settings if (setting.name in plan.primary) == first]
            yield [Job(base, setting, seed) for seed in plan.seeds for setting in chosen]


def _to_judge(jobs: Sequence[Job], plan: Plan, bases: Path, work: Path) -> Iterator[tuple[Recipe, Job]]:
    """Yield a recipe and a job for all verdicts that the jobs need, where they do not lie there yet."""
    found = {}
    for job in jobs:
        if isinstance(job.setting, Setting):
            recipe = _recipe(job.setting, plan, seed=job.seed or 0, bases=bases, work=work, base=job.base)
            if isinstance(recipe.objective, Verdicts):
                found[_verdicts(recipe, job.setting, work)] = recipe, job
    yield from (needed for folder, needed in found.items() if not folder.is_dir())


def _judged(recipe: Recipe, job: Job, plan: Plan, work: Path) -> tuple[Recipe, float]:
    """Return `recipe` with its verdicts, and the CPU seconds that judging took, by whichever job did it first."""
    assert isinstance(job.setting, Setting)
    folder = _verdicts(recipe, job.setting, work)
    if not folder.is_dir():
        by = partial(Labels, _details(plan, job.seed or 0)) if job.setting.teacher == "labels" else Judge
        with new_folder(folder) as content, contextlib.redirect_stderr(io.StringIO()):
            began = time.process_time()
            judge(recipe, content / VERDICTS, by=by, console=Console(file=io.StringIO()))
            write_json(_Cost(cpu_seconds=time.process_time() - began), content / COST)
    cost = read_model(folder / COST, _Cost, f"remove {folder}")
    data = recipe.data.model_copy(update={"verdicts": str(folder / VERDICTS)})
    return recipe.model_copy(update={"data": data}), cost.cpu_seconds


def _details(plan: Plan, seed: int) -> dict[str, Tensor]:
    """Return the true details of every image of the world of `seed`, by its name as a source of shards gives it."""
    details = _scenes(plan.images, seed).details.chunk(SHARDS)
    return {
        f"{shard:05d}.tar/{shard:05d}{index:04d}.jpg": row
        for shard, rows in enumerate(details)
        for index, row in enumerate(rows)
    }


def _verdicts(recipe: Recipe, setting: Setting, work: Path) -> Path:
    """Return the folder of the verdicts of a recipe; settings whose judging is the same share it."""
    assert isinstance(recipe.objective, Verdicts)
    said = recipe.model_dump(mode="json", include={"seed", "tower", "denoiser", "data"})
    said |= recipe.objective.model_dump(include={"statements", "samples", "checked"}) | {"by": setting.teacher}
    return work / "verdicts" / hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


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
    own = {"trained": base.teacher, "decoder": base.decoder, "labels": base.teacher}
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
        judging = 0.0
        if isinstance(recipe.objective, Verdicts):
            recipe, judging = _judged(recipe, job, plan, work)
            began = time.process_time()
        train(recipe, folder.path)
    lines = read_metrics(folder.metrics)
    return Run(
        gaps=_gaps(lines, recipe),
        warnings=tuple(warning for line in lines for warning in line.warnings),
        images=sum(stage.steps or 0 for stage in recipe.stages) * recipe.training.global_batch,
        cpu_seconds=judging + time.process_time() - began,
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
            *_statements(setting, work),
            *plan.change,
            *setting.change,
        ],
    )


def _statements(setting: Setting, work: Path) -> list[str]:
    """Return the override that names the setting's own list of statements, which is written if need be."""
    if not setting.statements:
        return []
    fields = merged(read_fields("miniature", LISTS), setting.statements)
    fields["groups"] = {name: group for name, group in fields["groups"].items() if group is not None}
    text = yaml.safe_dump(fields, sort_keys=False)
    path = work / "statements" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [f"objective.statements={path}"]


def _gaps(lines: Sequence[MetricsLine], recipe: Recipe) -> Gaps | None:
    gaps = {line.step: line.curves["gap"] for line in lines if "gap" in line.curves}
    if not gaps:
        return None
    without_tower = itertools.takewhile(lambda stage: "tower" not in stage.train, recipe.stages)
    steps = sum(stage.steps or 0 for stage in without_tower)
    return Gaps(first=gaps[min(gaps)], before_tower=gaps.get(steps), last=gaps[max(gaps)])
