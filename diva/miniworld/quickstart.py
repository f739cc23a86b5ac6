"""`diva quickstart`: a whole run on the miniature world, in the commands and the formats of the real one.

It writes one recipe with every stage, and `diva run` does the rest: each stage is a `diva` command in a process of
its own, a killed quickstart goes on where it was, and its last stage is the report.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import InputError, install
from diva.miniworld.base import SHIPPED
from diva.pipeline.run import run as run_pipeline

RECIPE = "quickstart.yaml"
AVERAGE = 0.5  # share of the trained tower in the average with the original (WiSE-FT, arXiv 2109.01903)
JOBS = 2  # each on one core
# the pipelines that need more than the base install: a package of theirs, and the extra that brings it
EXTRAS = {"llava": "lm_eval", "segmentation": "mmseg"}
SEGMENTATION = "--head linear --dataset ade20k --crop 48 --batch 16 --iterations 100 --workers 0"
SEGMENTATION_FIELDS = "optim_wrapper.optimizer.lr=0.005 model.backbone.out_blocks=[-2]"
NEXT = """
The same with real weights (README.md says where they come from):
  diva run diva/openai-vit-l14-224 --dry-run   # says what it would do, and which files are missing
  diva run diva/openai-vit-l14-224
"""

Stages = Iterator[tuple[str, dict[str, Any]]]


def run(out: Path, *, seed: int, check: Callable[[Sequence[str]], None]) -> None:
    """Write the recipe of the quickstart into `out` and run it there.

    Args:
        out: a new folder, or that of a quickstart which did not end.
        seed: of the world and of the training.
        check: see `diva.pipeline.run.run`.

    Raises:
        InputError: `out` holds something else, or a quickstart with another seed.
        RunError: a stage failed; the report names it.
    """
    console, installed = Console(), [extra for extra, package in EXTRAS.items() if find_spec(package)]
    path, text = out / RECIPE, yaml.safe_dump(_recipe(seed, installed), sort_keys=False, width=100)
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: is not empty; name another folder with --out, or remove it")
        out.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text)
    elif read_file(path) != text.encode():
        raise InputError(f"{path}: is that of another quickstart; name another folder with --out, or remove it")
    for extra in EXTRAS.keys() - set(installed):
        console.print(Text(f"Left out: {extra}; it needs {install(extra)}.", "yellow"), soft_wrap=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the stages: two at once, each on its own core
    run_pipeline(str(path), [], out, jobs=JOBS, check=check)
    console.print(Text(NEXT), soft_wrap=True)


def _recipe(seed: int, installed: Sequence[str]) -> dict[str, Any]:
    stages = dict(_stages(seed, installed))
    return {
        "extends": "diva/quickstart",
        "name": "quickstart",
        "seed": seed,
        "pipeline": {
            "data": {
                "clip": {"path": str(SHIPPED.clip)},
                "teacher": {"path": str(SHIPPED.teacher)},
                "decoder": {"path": str(SHIPPED.decoder)},
            },
            "stages": stages,
        },
    }


def _stages(seed: int, installed: Sequence[str]) -> Stages:
    yield "world", _stage(f"miniworld write --out {{out}}/world --seed {seed}", "world/mmvp_vlm/Questions.csv")
    shared = f"tower.name={{clip}} data.source={{world}}/world/shards seed={seed} --out {{out}} --resume"
    tower = "tower/open_clip_model.safetensors"
    yield "diva", _stage(f"train {{recipe}} denoiser.path={{teacher}} {shared}", tower)
    yield "un2clip", _stage(f"train un2clip/quickstart denoiser.path={{decoder}} {shared}", tower)
    # what another image's condition does: whatever the real run gains must not be gained here
    control = f"train {{recipe}} feedback.shuffle_condition=true denoiser.path={{teacher}} {shared}"
    yield "shuffled-control", _stage(control, tower)
    for method in ("diva", "un2clip"):
        average = f"export {{{method}}} --to open_clip --average {AVERAGE} --out {{out}}/tower"
        yield f"{method}-averaged", _stage(average, tower)
    export = "export {diva-averaged}/tower --to transformers --out {out}/model"
    yield "transformers", _stage(export, "model/config.json")
    for name in ("diva", "un2clip", "shuffled-control", "diva-averaged", "un2clip-averaged"):
        measured = f"--tower {{{name}}}/tower --against {{clip}}"
        pairs = f"bench mmvp {measured} --data {{world}}/world/mmvp_vlm --out {{out}}/mmvp.json"
        yield f"mmvp-{name}", _stage(pairs, "mmvp.json")
        classes = f"bench zero-shot {measured} --data {{world}}/world --sets zero_shot,retrieval"
        yield f"zero-shot-{name}", _stage(f"{classes} --out {{out}}/zero-shot.json", "zero-shot.json")
    yield (
        "pictures",
        _stage(
            "visualize {mmvp-diva}/mmvp.json --run {diva} --pairs 4 --steps 20 --out {out}/pictures",
            "pictures/visualised.json",
        ),
    )
    if "segmentation" in installed:
        yield from _segmentation()
    if "llava" in installed:
        yield from _llava()


def _segmentation() -> Stages:
    for name, tower in (("before", "{clip}"), ("after", "{diva-averaged}/tower")):
        command = (
            f"seg train --tower {tower} {SEGMENTATION} --data {{world}}/world/ade20k --out {{out}}/run --resume"
        )
        yield f"segmentation-{name}", _stage(f"{command} {SEGMENTATION_FIELDS}", "run/iter_100/checkpoint.pth")
    runs = "--tower {segmentation-after}/run --against {segmentation-before}/run"
    data = "--data {world}/world/ade20k --workers 0"
    yield "segmentation", _stage(f"seg eval {runs} {data} --out {{out}}/segmentation.json", "segmentation.json")


def _llava() -> Stages:
    talks = "{world}/world/llava"
    yield (
        "llava-language",
        _stage(
            f"llava miniature {talks}/pretrain.json {talks}/finetune.json --out {{out}}/model", "model/config.json"
        ),
    )
    swap = "llava swap {llava-language}/model --tower {clip} --out {out}/model"
    yield "llava-start", _stage(swap, "model/diva_swap.json")
    before = "llava-start"
    for number, file in ((1, "pretrain"), (2, "finetune")):
        yield (
            f"llava-stage{number}",
            _stage(
                f"llava train llava-quickstart-stage{number} model={{{before}}}/model data.images={talks}"
                f" data.conversations={talks}/{file}.json --out {{out}}/model --resume",
                "model/diva_swap.json",
            ),
        )
        before = f"llava-stage{number}"
    yield (
        "llava-swapped",
        _stage(
            "llava swap {llava-stage2}/model --tower {diva-averaged}/tower --out {out}/model",
            "model/diva_swap.json",
        ),
    )
    yield (
        "llava",
        _stage(
            "llava eval {llava-swapped}/model --against {llava-stage2}/model --data {world}/world --batch 32"
            " --out {out}/results",
            "results",
        ),
    )


def _stage(command: str, makes: str) -> dict[str, Any]:
    return {"command": command, "makes": [makes]}
