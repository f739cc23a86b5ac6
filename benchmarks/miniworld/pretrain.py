"""Training a base from nothing: a miniature CLIP, its teacher and its decoder, with the recipe that made them."""

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from diva.atomic import check_files_in, discard, new_folder, write_json
from diva.documents import read_model
from diva.errors import Occupied
from diva.miniworld.base import Base
from diva.recipes.resume import check_resumed
from diva.results import Clock
from diva.towers import load_clip
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.miniworld.clip_training import save_clip, train_clip
from diva_benchmarks.miniworld.decoder_training import train_decoder
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.gates import Gates, measure_gates
from diva_benchmarks.miniworld.teacher_training import train_teacher

WORK = ".pretraining"  # checkpoints, until the base is complete


class Settings(BaseModel):
    """How the networks of a base are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_bare: Schedule = Schedule(steps=400, batch=96, learning_rate=1e-3)
    clip: Schedule = Schedule(steps=2400, batch=96, learning_rate=1e-3, hold=0.75)
    vae: Schedule = Schedule(steps=300, batch=16, learning_rate=3e-3)
    unet: Schedule = Schedule(steps=1000, batch=32, learning_rate=1.5e-3)
    decoder: Schedule = Schedule(steps=800, batch=32, learning_rate=1e-3)


class _Begun(BaseModel):
    """What an unfinished base was begun with."""

    seed: int
    settings: Settings


def pretrain(out: Path, *, seed: int, settings: Settings, device: torch.device) -> Gates:
    """Train a base into `out`, and measure its gates.

    `out` then holds `clip/` (open_clip), `teacher/` (diffusers' Stable Diffusion), `decoder/` (diffusers' Stable
    unCLIP: un²CLIP's first stage, for this CLIP) and `recipe.json`. A killed run goes on from its last checkpoint
    and ends with the same weights. The recipe is written last: where it lies, the base is complete. It holds
    settings, gates, the weights' hashes and a record of the run since it was last resumed.

    Raises:
        InputError: `out` holds a complete base, or an unfinished one with another seed or other settings.
        RunError: a loss is no longer finite.
    """
    base, clock = Base(out), Clock([seed], str(device))
    work = _begin(base, seed, settings)

    def clip(folder: Path) -> None:
        schedules = settings.clip_bare, settings.clip
        save_clip(train_clip(*schedules, seed=seed, device=device, folder=work), folder)

    def teacher(folder: Path) -> None:
        train_teacher(settings.vae, settings.unet, seed=seed, device=device, folder=work).save(folder)

    _once(base.clip, clip)

    def decoder(folder: Path) -> None:
        start = load_clip(str(base.clip)), base.teacher
        trained = train_decoder(*start, settings.decoder, seed=seed, device=device, folder=work)
        trained.save(folder)

    _once(base.teacher, teacher)
    _once(base.decoder, decoder)
    gates = measure_gates(base, device=device)
    recipe = {
        "seed": seed,
        "settings": settings.model_dump(),
        "run": clock.stop().model_dump(mode="json"),
        "weights": {str(path.relative_to(out)): file_sha256(path) for path in sorted(out.rglob("*.safetensors"))},
        "gates": gates.model_dump(mode="json"),
    }
    write_json(recipe, base.recipe)
    discard(work)
    return gates


def _begin(base: Base, seed: int, settings: Settings) -> Path:
    """Return the folder of checkpoints, new or of the same unfinished run."""
    out = base.path
    if base.recipe.is_file():
        raise Occupied(out, "holds a complete base; name a new folder")
    check_files_in(out)
    work = out / WORK
    begun, wanted = work / "settings.json", _Begun(seed=seed, settings=settings)
    if begun.is_file():
        check_resumed(out, lambda: read_model(begun, _Begun, "name a new folder for the base"), wanted)
        return work
    if out.exists() and any(path != work for path in out.iterdir()):
        raise Occupied(out, "is not empty; name a new folder for the base")
    work.mkdir(parents=True, exist_ok=True)
    write_json(wanted, begun)
    return work


def _once(folder: Path, train: Callable[[Path], None]) -> None:
    """Let `train` fill `folder`, unless an earlier run did; the folder appears complete or not at all."""
    if folder.is_dir():
        return
    with new_folder(folder) as content:
        train(content)
