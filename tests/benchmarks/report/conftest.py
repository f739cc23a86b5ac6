import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diva.pipelines.manifest import MANIFEST, write_manifest
from diva.results import Missing, Result, write_result
from diva_benchmarks.report.build import build as build_content
from diva_benchmarks.report.command import run
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    HALF,
    OTHER,
    a_run,
    a_study,
    against,
    compared,
    mmbench,
    mmvp,
    percent,
    result,
    right_in_each,
    segmentation,
    timed,
    write_metrics,
    write_png,
    write_study,
    write_visualised,
    zero_shot_set,
    zero_shot_summary,
)

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write results as files, in the order given, and return what a report on them says."""

    def built(*results: Result, published: bool = False) -> dict[str, Any]:
        paths = [tmp_path / f"{number}.json" for number in range(len(results))]
        for path, each in zip(paths, results, strict=True):
            write_result(each, path)
        content: dict[str, Any] = json.loads(
            build_content(read_sources(paths), published=published).model_dump_json()
        )
        return content

    return built


@pytest.fixture(scope="session")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report that has every section, of four towers."""
    folder = tmp_path_factory.mktemp("report")
    results = folder / "results"
    pooled, published = mmvp(BEFORE, right_in_each(1)), mmvp(BEFORE, right_in_each(2), "diva-openai")
    better = right_in_each(2) | {"Texts": [0.0, 0.0, 0.0, 0.0]}
    mnist, dtd = zero_shot_set(BEFORE, "mnist", [1] * 12), zero_shot_set(BEFORE, "dtd", [0, 1] * 6)
    mean = zero_shot_summary(BEFORE, 75)
    missing = [Missing(name="pets", reason="absent"), Missing(name="cars", reason="failed")]
    summary = zero_shot_summary(AFTER, 74, missing=missing)
    kept = compared("average", -1, (-1.75, -0.25), 0.01, 0, 2).model_copy(update={"margin": 1})
    unreadable = {"accuracy": percent(50, 8), "unreadable": percent(12.5, 8, higher_is_better=False)}
    written = {
        "pooled": against(mmvp(AFTER, better), pooled, compared("average", 22.25, (11.5, 33.125), 0.0003)),
        "published": against(mmvp(AFTER, right_in_each(3), "diva-openai"), published),
        "other": against(mmvp(OTHER, right_in_each(1)), pooled),
        "zero_shot-mnist": against(zero_shot_set(AFTER, "mnist", [1] * 11 + [0]), mnist),
        "zero_shot-dtd": against(zero_shot_set(AFTER, "dtd", [0, 1] * 6), dtd),
        "zero_shot": against(summary, mean, kept),
        "pope": against(result(AFTER, [1, 0] * 4, metrics=unreadable), result(BEFORE, [1, 0] * 4)),
        "half": against(mmvp(HALF, right_in_each(2)), pooled),
        "half-zero_shot": against(zero_shot_summary(HALF, 74.5), mean),
        "mmbench": against(mmbench(AFTER, [1, 0, 1, 1]), mmbench(BEFORE, [1, 0, 0, 1])),
        "ade20k": against(segmentation(AFTER, 40.5), segmentation(BEFORE, 38.25)),
        "throughput": timed("cached", 30.5, timed("published schedule", 12.25)),
        "elsewhere": result(OTHER, [1, 0], data=pooled.data),
    }
    for name, each in written.items():
        write_result(each, results / f"{name}.json")
    write_png(results / "ade20k.sheet.png", "teal", (900, 300))
    write_visualised(results / "pictures")
    write_manifest(a_run(), results / MANIFEST)
    write_study(results / "study.json", a_study())
    (results / "broken.json").write_text('{"schema_version": 1, "bench')
    write_metrics(results / "run" / "metrics.jsonl")
    (results / "run" / "recipe.yaml").write_text("name: diva/openai-vit-l14-224\nseed: 42\n")
    run([results], folder / "report", published=True)
    return folder / "report"
