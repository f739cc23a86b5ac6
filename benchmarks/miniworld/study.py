"""Running the plan: every (base, setting, seed) once, kept as soon as it is done, so a killed study goes on."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import Progress

from benchmarks.miniworld.measure import measure
from benchmarks.miniworld.plan import Plan, Setting
from benchmarks.miniworld.rows import ORIGINAL, Row, row_path, write_rows
from diva.atomic import new_folder
from diva.denoisers.miniature_teacher import MiniatureTeacher
from diva.errors import InputError, RunError
from diva.export.average import average
from diva.miniworld.captions import full_captions
from diva.miniworld.gates import CLIP_FOLDER, TEACHER_FOLDER
from diva.miniworld.pretrain import RECIPE, Settings
from diva.miniworld.scene import draw, generator
from diva.miniworld.teacher_training import weaker_teacher
from diva.miniworld.writers import write_shards
from diva.recipes import Recipe, load_recipe
from diva.towers import load_clip

Train = Callable[[Recipe, Path], None]
SHARDS = 4
SEED_OF_WORLDS = 302


class Job(NamedTuple):
    """One run; `setting` is None for the base's own tower."""

    base: int
    setting: Setting | None
    seed: int | None

    @property
    def name(self) -> str:
        """The setting's name in the table."""
        return self.setting.name if self.setting else ORIGINAL


def run(plan: Plan, bases: Path, work: Path, rows: Path, *, train: Train, processes: int, console: Console) -> None:
    """Run what is left of `plan`.

    Args:
        plan: what is compared.
        bases: holds a folder for each of the plan's bases, as `diva miniworld pretrain` writes them.
        work: worlds, weaker teachers and logs; what lies there is used again.
        rows: where the rows are kept.
        train: trains a recipe into a folder, which then holds `tower/` and `metrics.jsonl`.
        processes: runs at once, one core each.
        console: where the progress is drawn.

    Raises:
        InputError: a base is missing.
        RunError: some runs failed; the others are kept.
    """
    for base in plan.bases:
        if not (bases / str(base) / RECIPE).is_file():
            raise InputError(
                f"{bases / str(base)}: is no complete base; run diva miniworld pretrain --out {bases / str(base)}"
                f" --seed {base}"
            )
    left = [job for job in _jobs(plan) if not row_path(rows, job.name, job.base, job.seed).is_file()]
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
    for base, kind in {(job.base, job.setting.teacher) for job in jobs if job.setting}:
        folder = _teacher(bases, work, base, kind)
        if not folder.is_dir():
            _make_teacher(bases / str(base), plan.early_steps if kind == "early" else 0, base, folder)


def _make_teacher(base: Path, steps: int, seed: int, folder: Path) -> None:
    settings = Settings.model_validate(json.loads((base / RECIPE).read_text())["settings"])
    plan = settings.unet.model_copy(update={"steps": steps})
    trained = MiniatureTeacher.load(base / TEACHER_FOLDER)
    with TemporaryDirectory() as checkpoints, new_folder(folder) as content:
        weaker_teacher(trained, plan, seed=seed, folder=Path(checkpoints)).save(content)


def _write_shards(images: int, seed: int, folder: Path) -> None:
    scenes = draw(images, generator(SEED_OF_WORLDS, seed))
    with new_folder(folder) as content:
        write_shards(scenes, full_captions(scenes), content, per_shard=images // SHARDS)


def _shards(work: Path, seed: int) -> Path:
    return work / "shards" / str(seed)


def _teacher(bases: Path, work: Path, base: int, kind: str) -> Path:
    return bases / str(base) / TEACHER_FOLDER if kind == "trained" else work / "teachers" / f"{base}-{kind}"


def _run_job(job: Job, plan: Plan, bases: Path, work: Path, rows: Path, train: Train) -> None:
    """Train, measure, keep the rows, and remove the weights."""
    clip = bases / str(job.base) / CLIP_FOLDER
    original = load_clip(str(clip))
    path = row_path(rows, job.name, job.base, job.seed)
    if job.setting is None:
        row = Row(
            plan=plan.sha256,
            setting=ORIGINAL,
            base=job.base,
            seed=None,
            measured=measure(original, original, plan.sizes),
        )
        write_rows([row], path)
        return
    folder = work / "runs" / path.stem
    shutil.rmtree(folder, ignore_errors=True)  # of a study that was killed
    folder.mkdir(parents=True)
    recipe = _recipe(job.setting, job.seed or 0, str(clip), bases, work, job.base)
    began = time.monotonic()
    with (folder / "output.log").open("w") as log, contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
        train(recipe, folder)
    seconds = time.monotonic() - began
    trained = load_clip(str(folder / "tower"))
    shares = (1.0, *(plan.averages if job.setting.name in plan.averaged else ()))
    before, after = ({k: v.clone() for k, v in each.model.state_dict().items()} for each in (original, trained))
    found = []
    for share in shares:
        trained.model.load_state_dict(average(before, after, share))
        found.append(
            Row(
                plan=plan.sha256,
                setting=job.name,
                share=share,
                base=job.base,
                seed=job.seed,
                measured=measure(trained, original, plan.sizes),
                gap=_last_gap(folder / "metrics.jsonl") if share == 1 else None,
                warnings=_warnings(folder / "train.log") if share == 1 else (),
                seconds=seconds if share == 1 else None,
            )
        )
    write_rows(found, path)
    shutil.rmtree(folder)


def _recipe(setting: Setting, seed: int, clip: str, bases: Path, work: Path, base: int) -> Recipe:
    shards = round(SHARDS * setting.data)
    return load_recipe(
        setting.recipe,
        [
            f"seed={seed}",
            f"tower.name={clip}",
            f"denoiser.path={_teacher(bases, work, base, setting.teacher)}",
            f"data.source={_shards(work, seed)}/{{00000..{shards - 1:05d}}}.tar",
            *setting.change,
        ],
    )


def _last_gap(metrics: Path) -> float | None:
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    gaps = [record["gap"] for record in records if "gap" in record]
    return gaps[-1] if gaps else None


def _warnings(log: Path) -> tuple[str, ...]:
    return tuple(line.split(" WARNING ", 1)[1] for line in log.read_text().splitlines() if " WARNING " in line)
