"""Tiny towers, photographs, and a finished training run for the tests of `diva.exporting`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from diva.exporting.open_clip_format import write_open_clip
from diva.results import Comparison, DataSource, Metric, Result, Run, Subject, write_result
from diva.towers import load_clip
from tests.fixtures.images import crops, encode
from tests.fixtures.recipes import write_recipe_file
from tests.fixtures.tower_files import photographs, tiny_names, tiny_towers

__all__ = ["finished_run", "photographs", "tiny_names", "tiny_towers"]


@dataclass(frozen=True)
class FinishedRun:
    """What `diva train` and `diva bench mmvp` leave behind: the run's folder, and the base it started from."""

    folder: Path
    base: Path
    images: Path
    sha256: str


@pytest.fixture(scope="session")
def finished_run(tiny_towers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return a run whose tower differs from its base in the image tower alone, with two measurements."""
    folder, base = tmp_path_factory.mktemp("run"), tiny_towers["openai-like"]
    images = folder / "images"
    images.mkdir()
    for number, image in enumerate(crops(3)):
        (images / f"{number}.jpg").write_bytes(encode(image))
    clip = load_clip(str(base))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for parameter in clip.model.visual.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    write_open_clip(clip, folder / "tower")
    write_recipe_file(
        folder / "recipe.yaml", tower=base, teacher=folder, source=images, description="Tiny feedback"
    )
    sha256 = load_clip(str(folder / "tower")).sha256
    write_result(_result(sha256, 31.25), folder / "results" / "mmvp.json")
    write_result(_result("0" * 64, 99.5), folder / "results" / "another-tower.json")
    return FinishedRun(folder, base, images, sha256)


def _result(sha256: str, value: float) -> Result:
    comparison = Comparison(
        metric="average", difference=5.5, interval=(1.0, 10.0), test="exact McNemar", p_value=0.03, wins=9, losses=2
    )
    return Result(
        task="mmvp-vlm",
        headline="average",
        settings={"protocol": "pooled"},
        subject=Subject(label="tiny", source="run", architecture="ViT", sha256=sha256),
        data=DataSource(name="MMVP-VLM", path="data", fingerprint="1" * 64, items=135),
        metrics={"average": Metric(value=value, unit="percent", n=135, interval=(24.0, 38.5))},
        items=[],
        run=Run(
            command=["diva"],
            started=datetime(2026, 1, 1, tzinfo=UTC),
            wall_seconds=1,
            peak_memory_bytes=1,
            seeds=[0],
            versions={},
            device="cpu",
        ),
        comparisons=[comparison],
    )
