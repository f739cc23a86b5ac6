"""Measuring cases one after another, with the files that they need."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.utils import set_seed
from rich.console import Console

from diva.recipes import Recipe, load_recipe
from diva.results import Clock, Result, write_result
from diva.training.build import load_tower
from diva.training.caching import cache_latents
from diva_benchmarks.subject import subject_of
from diva_benchmarks.throughput.cases import BASELINE, CACHED, Case
from diva_benchmarks.throughput.data_stage import measure_data, open_loader
from diva_benchmarks.throughput.measure import flops, matmul_peak, measure
from diva_benchmarks.throughput.outcome import Outcome, as_result
from diva_benchmarks.throughput.pictures import write_pictures
from diva_benchmarks.throughput.random_weights import write_teacher
from diva_benchmarks.throughput.updates import ReleasedUpdate, TrainerUpdate

IMAGES_PER_SHARD = 16
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Setting:
    """What holds for every case.

    Attributes:
        overrides: recipe fields, for every recipe.
        random_weights: whether towers and teachers are built from their configurations alone.
        shards: of generated pictures; None takes the recipe's own images.
        updates, warmup: that are timed, and that come before.
        out: folder for the result files.
    """

    overrides: Sequence[str] = ()
    random_weights: bool = False
    shards: int | None = None
    updates: int = 10
    warmup: int = 3
    out: Path | None = None


class Bench:
    """Measures cases; what it generates for them lies in a folder and is used again."""

    def __init__(self, setting: Setting, folder: Path, progress: Console) -> None:
        """Prepare to measure; `folder` takes generated files, `progress` a line for each case."""
        self._setting, self._folder, self._progress = setting, folder, progress
        self._processes = int(os.environ.get("WORLD_SIZE", "1"))
        self._baselines: dict[tuple[str, int], Result] = {}
        self._peaks: dict[torch.dtype, float] = {}

    def outcome(self, case: Case) -> Outcome:
        """Measure `case`, and write its result file."""
        self._progress.print(f"{case.recipe}, batch {case.batch}: {case.label}", markup=False)
        recipe = self._recipe(case)
        once, twice = (self._flops(Case(case.recipe, batch, _eager(case))) for batch in (1, 2))
        with _ready(case, recipe) as update:
            clock = Clock([recipe.seed], _name(update.device))
            measurement = measure(update, warmup=self._setting.warmup, updates=self._setting.updates)
            outcome = Outcome(
                case=case,
                measurement=measurement,
                processes=self._processes,
                # the text encoder runs once a batch: what is not in proportion to the images is shared by them
                flops=(twice - once) + (2 * once - twice) / case.batch,
                peak=self._peak(update.device, recipe),
                gradient_bytes=update.gradient_bytes,
            )
            subject = subject_of(update.clip)
        baseline = self._baselines.get((case.recipe, case.batch))
        result = as_result(outcome, subject, self._source(recipe), clock.stop(), baseline)
        if case.is_baseline:
            self._baselines[case.recipe, case.batch] = result
        if self._setting.out is not None and os.environ.get("RANK", "0") == "0":
            name = f"{case.recipe.replace('/', '-')}-batch{case.batch}-{case.label}"
            several = f"-{self._processes}-processes" if self._processes > 1 else ""
            write_result(result, self._setting.out / f"{name}{several}.json")
        return outcome

    def data(self, name: str, batch: int) -> tuple[str, int, float, int]:
        """Measure the loader of a recipe alone; return the recipe, its files, images/s and the bytes held."""
        with open_loader(self._recipe(Case(name, batch, ()))) as loader:
            rate = measure_data(loader, warmup=self._setting.warmup, batches=self._setting.updates)
            return name, len(loader.source.names), rate.images_per_second, rate.memory

    def _flops(self, case: Case) -> float:
        with _ready(case, self._recipe(case)) as update:
            return flops(update)

    def _recipe(self, case: Case) -> Recipe:
        fields = [
            f"training.micro_batch={case.batch}",
            f"training.global_batch={case.batch * self._processes}",
            "diagnostics.every=null",
        ]
        overrides = [*self._setting.overrides, *self._files(case), *case.overrides(), *fields]
        return load_recipe(_recipe_file(case.recipe), overrides)

    def _source(self, recipe: Recipe) -> str:
        """Say where the images come from; of generated ones the folder is gone when the result is read."""
        if self._setting.shards is None:
            return recipe.data.source
        return f"{self._setting.shards} generated shards of {IMAGES_PER_SHARD} images, {recipe.data.image_size} px"

    def _files(self, case: Case) -> list[str]:
        """Return the recipe fields that name generated files; what is not there yet is written."""
        recipe = load_recipe(_recipe_file(case.recipe), self._setting.overrides)
        fields = []
        if self._setting.random_weights:
            teacher = self._folder / f"teacher-{Path(recipe.denoiser.path).name}"
            if not teacher.exists():
                write_teacher(recipe, teacher)
            fields += ["tower.checkpoint=null", "tower.random_weights=true", f"denoiser.path={teacher}"]
        if self._setting.shards is not None:
            pictures = self._folder / f"pictures-{recipe.data.image_size}-{self._setting.shards}"
            if not pictures.exists():
                write_pictures(
                    pictures, shards=self._setting.shards, images=IMAGES_PER_SHARD, size=recipe.data.image_size
                )
            fields.append(f"data.source={pictures}")
        if case.is_cached:
            latents = self._folder / f"latents-{case.recipe.replace('/', '-')}"
            if not latents.exists():
                uncached = load_recipe(_recipe_file(case.recipe), [*self._setting.overrides, *fields])
                batch = uncached.training.micro_batch
                cache_latents(uncached, latents, batch=batch, console=Console(quiet=True))
            fields.append(f"data.latents={latents}")
        return fields

    def _peak(self, device: torch.device, recipe: Recipe) -> float:
        dtype = torch.bfloat16 if recipe.training.precision == "bf16" else torch.float32
        if dtype not in self._peaks:
            self._peaks[dtype] = matmul_peak(device, dtype)
        return self._peaks[dtype]


@contextmanager
def _ready(case: Case, recipe: Recipe) -> Iterator[TrainerUpdate]:
    set_seed(recipe.seed)
    update = (ReleasedUpdate if case.is_baseline else TrainerUpdate)(recipe, load_tower(recipe))
    try:
        yield update
    finally:
        update.close()


def _eager(case: Case) -> tuple[str, ...]:
    """Return the options of `case` without those that hide or repeat operations."""
    return tuple(option for option in case.options if option in (BASELINE, CACHED))


def _recipe_file(name: str) -> str:
    """Return the file of this benchmark's own recipes, and any other recipe's name as it is."""
    own = RECIPES / f"{name}.yaml"
    return str(own) if own.is_file() else name


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
