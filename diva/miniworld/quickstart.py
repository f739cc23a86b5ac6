"""`diva quickstart`: the commands of a real run, one after another, on the miniature world.

Each step is a `diva` command in a process of its own, printed as a user would type it; everything that it writes
stays in the output folder, in the formats of the real runs.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from diva.errors import InputError, RunError
from diva.miniworld.gates import Gates
from diva.miniworld.pretrain import RECIPE

AVERAGE = 0.5  # share of the trained tower in the average with the original (WiSE-FT, arXiv 2109.01903)
NEXT = """
The same with real weights (README.md says where they come from):
  diva train diva/openai-vit-l14-224
  diva bench mmvp --tower runs/diva/openai-vit-l14-224/tower --against openai-vit-l14-224 \\
    --against-checkpoint checkpoints/openai-vit-l14-224/open_clip_model.safetensors --data data/MMVP_VLM
"""


class Step(NamedTuple):
    """One command and what it is for."""

    purpose: str
    words: Sequence[str]


def run(out: Path, *, seed: int) -> None:
    """Write the world, train, average, export, measure before and after, and report, into the new folder `out`.

    Raises:
        InputError: `out` is not empty.
        RunError: a step failed; its own message stands above.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not empty; name another folder with --out, or remove it")
    console, started = Console(), time.monotonic()
    base = Path(str(files("diva.miniworld"))) / "bases" / "0"
    _say_what_the_base_lacks(base, console)
    steps = list(_steps(out, base, seed))
    for number, step in enumerate(steps, start=1):
        console.print(Text(f"\n[{number}/{len(steps)}] {step.purpose}", style="bold"))
        console.print(Text(f"$ diva {shlex.join(step.words)}", style="cyan"), soft_wrap=True)
        begin = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "diva.cli", *step.words])
        if done.returncode:
            raise RunError(f"quickstart: step {number} ({step.purpose}) ended with status {done.returncode}")
        console.print(Text(f"  {time.monotonic() - begin:.0f} s", style="dim"))
    console.print(Text(f"\nDone in {time.monotonic() - started:.0f} s. Open {out / 'report' / 'report.html'}."))
    console.print(Text("Not part of it yet: the LLaVA and the segmentation pipelines."))
    console.print(Text(NEXT))


def _say_what_the_base_lacks(base: Path, console: Console) -> None:
    failed = Gates.model_validate(json.loads((base / RECIPE).read_text())["gates"]).failed
    if failed:
        missed = ", ".join(f"{gate.name} {gate.value:.0f} %" for gate in failed)
        console.print(
            Text(
                f"The shipped base misses {len(failed)} of its gates ({missed}; wanted 10 to 90 %): these figures"
                " show that the parts work together, not what the method does.",
                style="yellow",
            )
        )


def _steps(out: Path, base: Path, seed: int) -> Iterator[Step]:
    world, trained, results = out / "world", out / "diva", out / "results"
    clip, averaged = base / "clip", out / "diva-averaged"
    train = [
        "train",
        "diva/quickstart",
        *("--out", trained),
        f"seed={seed}",
        f"tower.name={clip}",
        f"denoiser.path={base / 'teacher'}",
        f"data.source={world / 'shards'}",
    ]
    yield _step("draw the world: images, and every benchmark in its own format", "miniworld", "write",
                "--out", world, "--seed", seed)  # fmt: skip
    yield _step("feedback: first the projection, then the tower", *train)
    yield _step("average the trained tower with the original", "export", trained,
                "--to", "open_clip", "--average", AVERAGE, "--out", averaged)  # fmt: skip
    yield _step("write it for transformers", "export", averaged, "--to", "transformers",
                "--out", out / "diva-averaged-transformers")  # fmt: skip
    for name, tower in (("diva", trained / "tower"), ("diva-averaged", averaged)):
        measured = ("--tower", tower, "--against", clip)
        yield _step(f"visual patterns, before and after ({name})", "bench", "mmvp", *measured,
                    "--data", world / "mmvp_vlm", "--out", results / f"mmvp-{name}.json")  # fmt: skip
        yield _step(f"zero-shot, before and after ({name})", "bench", "zero-shot", *measured,
                    "--data", world, "--sets", "zero_shot,retrieval",
                    "--out", results / f"zero-shot-{name}.json")  # fmt: skip
    yield _step("set it all side by side", "report", results, trained, "--out", out / "report")


def _step(purpose: str, *words: object) -> Step:
    return Step(purpose, [str(word) for word in words])
