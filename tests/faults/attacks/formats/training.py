"""What `diva train` and `diva data cache-latents` read: recipes, teachers, caches, what earlier runs left."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import avg_pool2d

from diva.condition import Condition, build_condition
from diva.data import open_source
from diva.data.cache import LatentIndex, Wanted, look_of, open_latents, write_cache
from diva.data.cache.write import shard_names
from diva.data.raw import Loss
from diva.data.source import fingerprint
from diva.denoisers import load_denoiser
from diva.digest import tensors_sha256
from diva.images import UnusableError
from diva.pipelines.manifest import read_manifest, write_manifest
from diva.recipes import load_recipe
from diva.recipes.denoisers import StableDiffusion
from diva.run_folder import Position, RunFolder, read_metrics
from diva.towers import Clip, TowerInput, load_clip
from diva.training.artefacts import (
    check_denoiser,
    read_projection,
    tower_digest,
    write_denoiser,
    write_projection,
)
from diva.training.checkpoints import save_checkpoint
from diva.visualize.teacher import Teacher
from tests.benchmarks.report.examples import a_run
from tests.faults.attacks.cell import Format
from tests.faults.attacks.formats.images import _write_folder
from tests.faults.attacks.formats.towers import TOWER, WORLD

CPU = torch.device("cpu")
INPUT = TowerInput(size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3, interpolation="bicubic", resize_mode="shortest")
RECIPE = {
    "name": "tiny",
    "tower": {"name": str(TOWER)},
    "condition": {"type": "dense_recap", "tokens": {"kind": "random", "count": 36}, "combine": "token_by_token"},
    "denoiser": {"type": "stable_diffusion", "path": str(WORLD / "teacher")},
    "data": {"source": "images", "image_size": 48},
    "stages": [{"steps": 2, "optimizer": {"type": "adamw", "lr": 1e-3}}],
}


class _Averages:
    """An encoder of a closed form."""

    encoder_sha256 = "a" * 64

    def encode(self, rgb: Tensor) -> Tensor:
        return avg_pool2d(rgb, 8)


def _write_recipe(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))


def _read_recipe(folder: Path) -> Any:
    return load_recipe(str(folder / "tiny.yaml"))


def _wanted() -> Wanted:
    return Wanted.by(_Averages(), INPUT, 32, (1.0, 1.0))


def _write_cache(folder: Path) -> None:
    images = folder / "images"
    images.mkdir()
    _write_folder(images)
    source = open_source(str(images))
    index = LatentIndex(
        made=_wanted(),
        crop_seed=3,
        crops=1,
        pixels="uint8",
        source=source.spec,
        fingerprint=fingerprint(source),
        shards=tuple(shard_names(source)),
    )
    list(write_cache(folder / "cache", index, source, look_of(_Averages()), INPUT, device=CPU, batch=2))


def _read_cache(folder: Path) -> dict[str, str]:
    found = {}
    for raw in open_latents(folder / "cache", _wanted()).images():
        if isinstance(raw, Loss):
            raise UnusableError(f"{raw.key}: {raw.reason}")
        crop = raw.crop(0)
        found[raw.key] = tensors_sha256({"pixels": crop.pixels, "latents": crop.latents})
    return found


def _write_projection(folder: Path) -> None:
    _write_recipe(folder)
    clip, condition = _condition(folder)
    write_projection(condition, RunFolder(folder), _read_recipe(folder), tower_digest(clip.tower))


def _read_projection(folder: Path) -> str:
    clip, condition = _condition(folder)
    read_projection(folder / "projection.safetensors", condition, clip.tower)
    return tensors_sha256(condition.state_dict())


def _condition(folder: Path) -> tuple[Clip, Condition]:
    recipe, clip = _read_recipe(folder), load_clip(str(TOWER))
    denoiser = load_denoiser(recipe.denoiser, dtype=torch.float32, device=CPU)
    return clip, build_condition(recipe.condition, clip.tower, denoiser)


def _write_teacher(folder: Path) -> None:
    shutil.copytree(WORLD / "teacher", folder, dirs_exist_ok=True)


def _read_teacher(folder: Path) -> tuple[str, ...]:
    section = StableDiffusion(type="stable_diffusion", path=str(folder))
    denoiser = load_denoiser(section, dtype=torch.float32, device=CPU)
    prompt = denoiser.encode_prompt("a red star").tokens
    return (
        tensors_sha256(denoiser.network.state_dict()),
        denoiser.encoder_sha256,
        tensors_sha256({"prompt": prompt}),
    )


def _write_visualised(folder: Path) -> None:
    _write_projection(folder)
    (folder / "tiny.yaml").rename(folder / "recipe.yaml")


def _read_visualised(folder: Path) -> Any:
    teacher = Teacher(RunFolder(folder), load_clip(str(TOWER)).tower, CPU)
    return teacher.recipe, tensors_sha256(vars(teacher)["_condition"].state_dict())


def _write_checkpoints(folder: Path) -> None:
    """Write two that hold the same, so that the older one gives an equal answer."""
    accelerator, _ = _prepared()
    for step in (1, 2):
        position = Position(step=step, stage=0, processes=1, data={})
        save_checkpoint(accelerator, RunFolder(folder), position, keep=2)


def _read_checkpoint(folder: Path) -> Any:
    checkpoint, _ = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None
    accelerator, model = _prepared()
    with torch.random.fork_rng():
        accelerator.load_state(str(checkpoint))
    return tensors_sha256(model.state_dict()), Position.read(checkpoint).stage


def _prepared() -> tuple[Accelerator, torch.nn.Module]:
    accelerator, model = Accelerator(cpu=True), torch.nn.Linear(2, 2)
    torch.nn.init.ones_(model.weight)
    torch.nn.init.ones_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1)
    accelerator.prepare(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    return accelerator, model


def _write_denoiser(folder: Path) -> None:
    clip = load_clip(str(TOWER))
    _write_recipe(folder)
    recipe = _read_recipe(folder)
    write_denoiser(
        load_denoiser(recipe.denoiser, dtype=torch.float32, device=CPU),
        RunFolder(folder),
        recipe,
        tower_digest(clip.tower),
    )


def _read_denoiser(folder: Path) -> None:
    section = StableDiffusion(type="stable_diffusion", path=str(folder / "denoiser"))
    check_denoiser(section, load_clip(str(TOWER)).tower)


def _write_metrics(folder: Path) -> None:
    lines = [{"step": step, "stage": "one", "images": 4 * step, "loss": 1 / step} for step in range(1, 9)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _read_metrics(folder: Path) -> Any:
    return read_metrics(folder / "metrics.jsonl")


def _write_manifest(folder: Path) -> None:
    write_manifest(a_run(), folder / "manifest.json")


def _read_manifest(folder: Path) -> Any:
    return read_manifest(folder / "manifest.json")


TEACHER = (
    ("unet/config.json", "json"),
    ("unet/diffusion_pytorch_model.safetensors", "safetensors"),
    ("vae/config.json", "json"),
    ("vae/diffusion_pytorch_model.safetensors", "safetensors"),
    ("text_encoder/config.json", "json"),
    ("text_encoder/model.safetensors", "safetensors"),
    ("tokenizer/tokenizer.json", "json"),
    ("scheduler/scheduler_config.json", "json"),
)
CHECKPOINT = (
    ("model.safetensors", "safetensors"),
    ("optimizer.bin", "torch"),
    ("scheduler.bin", "torch"),
    ("random_states_0.pkl", "torch"),
    ("position.json", "json"),
    ("diva.sha256", "text"),
)
FORMATS = (
    Format("recipe", "yaml", _write_recipe, "tiny.yaml", _read_recipe),
    *(Format(f"teacher: {file}", kind, _write_teacher, file, _read_teacher) for file, kind in TEACHER),
    Format("latent cache: index", "json", _write_cache, "cache/index.json", _read_cache, hashed=True),
    Format("latent cache: shard", "tar", _write_cache, "cache/00000.tar", _read_cache, hashed=True),
    Format("trained projection", "safetensors", _write_projection, "projection.safetensors", _read_projection),
    *(
        Format(
            f"checkpoint: {file}",
            kind,
            _write_checkpoints,
            f"checkpoints/step-00000002/{file}",
            _read_checkpoint,
            hashed=True,
        )
        for file, kind in CHECKPOINT
    ),
    Format(
        "trained denoiser: origin", "json", _write_denoiser, "denoiser/diva.json", _read_denoiser, optional=True
    ),
    Format("teacher: model_index.json", "json", _write_teacher, "model_index.json", _read_teacher, optional=True),
    Format(
        "trained projection of visualize",
        "safetensors",
        _write_visualised,
        "projection.safetensors",
        _read_visualised,
    ),
    Format("metrics", "json lines", _write_metrics, "metrics.jsonl", _read_metrics),
    Format("manifest of a run", "json", _write_manifest, "manifest.json", _read_manifest),
)
