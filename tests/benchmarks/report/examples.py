"""Result files written by hand, small enough to work out their figures on paper."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from diva.pipelines.manifest import Manifest, StageRecord
from diva.results import Comparison, DataSource, Item, Metric, Result, Run, Subject
from diva.visualize.index import INDEX, Drawing, Index, ShownPair, View
from diva_benchmarks.miniworld.summary import TRAINED, Figure, Line, Original, Study

PATTERNS = ("Orientation", "Presence", "State", "Quantity", "Position", "Colour", "Structure", "Texts", "Viewpoint")
BEFORE = Subject(label="before", source="openai-vit-l14-224", architecture="ViT-L-14", sha256="a" * 64)
AFTER = Subject(
    label="after", source="runs/x/tower", architecture="ViT-L-14", sha256="b" * 64, recipe="diva/openai-vit-l14-224"
)
HALF = Subject(
    label="half", source="averages/0.5", architecture="ViT-L-14", sha256="d" * 64, recipe=AFTER.recipe, share=0.5
)
OTHER = Subject(label="other", source="runs/y/tower", architecture="ViT-L-14", sha256="c" * 64)


def run(hour: int = 12) -> Run:
    return Run(
        command=["diva", "bench", "mmvp", "--data", "my data"],
        started=datetime(2026, 11, 20, hour, tzinfo=UTC),
        wall_seconds=75.25,
        peak_memory_bytes=3 * 2**30,
        seeds=[],
        versions={"diva": "0.1.0", "torch": "2.15.0"},
        device="cpu",
    )


def result(
    subject: Subject,
    outcomes: Sequence[float],
    task: str = "pope",
    reading: str = "greedy",
    **changes: Any,
) -> Result:
    """Return a result whose only metric is the plain percentage of its outcomes."""
    fields: dict[str, Any] = {
        "task": task,
        "headline": "accuracy",
        "settings": {"reading": reading},
        "subject": subject,
        "data": DataSource(name="POPE", path="data/pope", fingerprint="1" * 64, items=len(outcomes)),
        "metrics": {"accuracy": percent(100 * sum(outcomes) / len(outcomes), len(outcomes))},
        "items": [Item(id=str(number), group="all", outcome=outcome) for number, outcome in enumerate(outcomes)],
        "run": run(),
    }
    return Result(**(fields | changes))


def percent(value: float, n: int, interval: tuple[float, float] | None = None, **fields: Any) -> Metric:
    return Metric(value=value, unit="percent", n=n, interval=interval, **fields)


def mmvp(
    subject: Subject, right: Mapping[str, Sequence[float]], protocol: str = "pooled", **changes: Any
) -> Result:
    """Return an MMVP-VLM result from the outcomes of each pattern's pairs."""
    items = [
        Item(
            id=f"{pattern} {number}",
            group=pattern,
            outcome=outcome,
            details={
                "statement1": "a dog on the left",
                "statement2": "a dog on the right",
                "statement1_image1": 0.25,
                "statement1_image2": 0.20,
                "statement2_image1": 0.21,
                "statement2_image2": 0.21 + (0.02 if outcome else -0.01),
            },
        )
        for pattern, outcomes in right.items()
        for number, outcome in enumerate(outcomes)
    ]
    shares = {pattern: 100 * sum(outcomes) / len(outcomes) for pattern, outcomes in right.items()}
    metrics = {"average": percent(sum(shares.values()) / len(shares), len(items), (5.5, 44.25))}
    metrics |= {
        f"category/{name}": percent(share, len(right[name]), (0, 90.5), breakdown="visual pattern")
        for name, share in shares.items()
    }
    fields: dict[str, Any] = {
        "task": "mmvp-vlm",
        "headline": "average",
        "settings": {"protocol": protocol},
        "subject": subject,
        "data": DataSource(name="MMVP-VLM", path="data/mmvp", fingerprint="2" * 64, items=len(items)),
        "metrics": metrics,
        "items": items,
        "run": run(),
    }
    return Result(**(fields | changes))


def right_in_each(count: int, pairs: int = 4) -> dict[str, list[float]]:
    """Return outcomes in which the first `count` of every pattern's `pairs` are right."""
    return {pattern: [float(number < count) for number in range(pairs)] for pattern in PATTERNS}


def zero_shot_set(subject: Subject, name: str, outcomes: Sequence[float], **changes: Any) -> Result:
    source = DataSource(
        name=name.upper(), path=f"data/{name}", fingerprint=f"{len(name):064x}", items=len(outcomes)
    )
    changes = {
        "data": source,
        "part": name,
        "headline": "acc1",
        "settings": {},
        "metrics": {"acc1": percent(100 * sum(outcomes) / len(outcomes), len(outcomes))},
    } | changes
    return result(subject, outcomes, "zero-shot", **changes)


def zero_shot_summary(subject: Subject, value: float, **changes: Any) -> Result:
    source = DataSource(name="2 sets", path="data", fingerprint="3" * 64, items=1200)
    items = [Item(id=name, group="all", outcome=value / 100) for name in ("mnist", "dtd")]
    metrics = {"average": percent(value, 2, (value - 1, value + 1))}
    fields = {"data": source, "headline": "average", "settings": {}, "metrics": metrics, "items": items}
    return result(subject, [0], "zero-shot", **(fields | changes))


def mmbench(
    subject: Subject, right: Sequence[float], training: str = "projector + lora", *, unread: float = 12.5
) -> Result:
    """Return an MMBench result: what `right` says of CircularEval, and one category."""
    share = 100 * sum(right) / len(right)
    metrics = {
        "circular": percent(share, len(right)),
        "circular/category/ocr": percent(share, len(right), breakdown="category"),
    }
    metrics["unread"] = percent(unread, len(right), higher_is_better=False)
    source = DataSource(name="MMBench_DEV_EN", path="data/mmbench", fingerprint="5" * 64, items=len(right))
    settings = {"reading": "letters by rule", "language model": "llama 6.7B", "training": training}
    fields = {"part": "en-dev", "headline": "circular", "settings": settings, "metrics": metrics, "data": source}
    return result(subject, right, "mmbench", **fields)


def segmentation(subject: Subject, value: float) -> Result:
    """Return a segmentation result of two classes on two images."""
    metrics = {"mIoU": percent(value, 2), "aAcc": percent(2 * value, 2)}
    metrics["IoU/wall"] = percent(value + 1, 2, breakdown="class")
    source = DataSource(name="ADE20K", path="data/ade", fingerprint="4" * 64, items=2)
    fields = {"part": "ade20k", "headline": "mIoU", "settings": {"head": "linear", "crop": 512}}
    return result(subject, [0], "segmentation", metrics=metrics, items=[], data=source, **fields)


def timed(options: str, images_per_second: float, baseline: Result | None = None) -> Result:
    """Return one case of `diva bench throughput`."""
    metrics = {
        "images/s": Metric(value=images_per_second, unit="images/s", n=80, interval=(1.5, 400.0)),
        "TFLOP/s": Metric(value=5.5 * images_per_second, unit="TFLOP/s", n=10),
        "share of peak": Metric(value=0.375, unit="ratio", n=10),
        "memory": Metric(value=3 * 2**30, unit="bytes", n=1, higher_is_better=False),
    }
    settings = {"recipe": "diva/x", "batch": 16, "options": options, "processes": 1}
    fields = {"headline": "images/s", "settings": settings, "metrics": metrics, "items": [], "baseline": baseline}
    return result(AFTER, [0], "throughput", **fields)


def a_run() -> Manifest:
    """Return a run of which one stage is done, one failed, and one could not begin."""
    done = StageRecord(
        state="done",
        command=["python", "-m", "diva.cli", "train"],
        exit_status=0,
        started=run().started,
        seconds=75.25,
        log="runs/x/train/log.txt",
    )
    failed = done.model_copy(update={"state": "failed", "exit_status": 2, "reason": "data/MMVP is missing"})
    blocked = StageRecord(state="blocked", reason="needs mmvp")
    stages = {"train": done, "mmvp": failed, "visualise": blocked, "report": StageRecord(state="started")}
    return Manifest(recipe="diva/openai-vit-l14-224", stages=stages)


def compared(
    metric: str,
    difference: float,
    interval: tuple[float, float] | None,
    p_value: float,
    wins: int = 9,
    losses: int = 2,
) -> Comparison:
    return Comparison(
        metric=metric,
        difference=difference,
        interval=interval,
        test="exact McNemar",
        p_value=p_value,
        wins=wins,
        losses=losses,
    )


def against(ours: Result, theirs: Result, *comparisons: Comparison) -> Result:
    return ours.model_copy(update={"baseline": theirs, "comparisons": list(comparisons)})


def write_png(path: Path, colour: str, size: tuple[int, int] = (48, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def write_visualised(folder: Path, *, drawn: bool = True) -> Path:
    """Write what `diva visualize` leaves: one pair that training put right."""
    pictures = {
        name: write_png(folder / f"{name}.png", colour).name
        for name, colour in (("1", "red"), ("2", "green"), ("map", "blue"), ("drawn", "grey"))
    }
    views = tuple(
        View(
            picture=pictures[number],
            map_before=pictures["map"],
            map_after=pictures["map"],
            drawn_before=pictures["drawn"] if drawn else None,
            drawn_after=pictures["drawn"] if drawn else None,
        )
        for number in ("1", "2")
    )
    pair = ShownPair(
        id="1-2",
        pattern="Orientation",
        statements=("a dog on the left", "a dog on the right"),
        before=((0.25, 0.2), (0.21, 0.2)),
        after=((0.26, 0.19), (0.18, 0.23)),
        right_before=False,
        right_after=True,
        views=(views[0], views[1]),
    )
    index = Index(
        before="before",
        before_sha256="a" * 64,
        after="after",
        after_sha256="b" * 64,
        explained=0.4375,
        drawing=Drawing(recipe="diva/x", teacher="sd", steps=30, guidance=1, seed=0) if drawn else None,
        pairs=[pair],
    )
    (folder / INDEX).write_text(index.model_dump_json())
    return folder / INDEX


def write_metrics(path: Path, lines: int = 6) -> Path:
    """Write what a training run of two stages writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for step in range(1, lines + 1):
            line = {
                "step": step,
                "stage": "stage 1/2" if step <= lines // 2 else "stage 2/2",
                "images": 4 * step,
                "loss": 1 / step,
                "loss_sample_1": 1.5 / step,
                "lr": 10.0 ** -(2 + step % 4),
                "grad_norm_tower": 0.5,
                "grad_norm": 0.75,
                "skipped": 0,
                "images_per_second": 10.0 + step,
                "memory_gib": 1.5,
                "probe/colour": 0.25,
                "probe/count": 0.5,
            }
            file.write(json.dumps(line) + "\n")
    return path


def study_line(
    setting: str,
    pairs: tuple[float, float, float] | float,
    zero_shot: tuple[float, float, float] | float,
    *,
    group: str = "methods",
    weights: str = TRAINED,
    cost: float | None = None,
    **changes: Any,
) -> Line:
    """Return a setting of a study; pairs and zero-shot as a mean, or as mean, low and high end of the interval."""
    fields: dict[str, Any] = {
        "setting": setting,
        "group": group,
        "method": setting.removesuffix(", anchored"),
        "preserved_by": "anchored" if setting.endswith(", anchored") else "",
        "weights": weights,
        "runs": 6,
        "pairs": figure(pairs),
        "zero_shot": figure(zero_shot),
        "pooled_probe": figure((-0.25, -1.5, 1.0)),
        "patch_probe": figure((0.75, 0.125, 1.375)),
        "pairs_of": {"colour": 1.5, "state": -2.25},
        "pooled_probe_of": {"colour": 0.5, "state": -1.0},
        "patch_probe_of": {"colour": 0.5, "state": 1.0},
        "gap_first": figure(0.0021),
        "gap_before_tower": figure(0.0312),
        "gap": figure(0.0456),
        "drift": figure(0.0625),
        "cpu_ms_per_image": None if cost is None else figure(cost),
        "warned": 0,
    }
    return Line(**(fields | changes))


def figure(value: tuple[float, float, float] | float) -> Figure:
    if isinstance(value, tuple):
        return Figure(mean=value[0], interval=value[1:], bases=3)
    return Figure(mean=value, interval=None, bases=1)


def study(*lines: Line, bases: tuple[int, ...] = (1, 2, 3), seeds: tuple[int, ...] = (0, 1)) -> Study:
    """Return a study of `lines`; the untrained towers score 50 %, 52 %, … of pairs."""
    originals = tuple(
        Original(
            base=base,
            pairs=50.0 + 2 * number,
            zero_shot=96.5 - number,
            pooled_probe=70.25,
            patch_probe=80.75,
            pairs_of={"colour": 40.0 + number, "state": 60.0 + 3 * number},
        )
        for number, base in enumerate(bases)
    )
    return Study(plan="9" * 64, bases=bases, seeds=seeds, originals=originals, lines=lines)


def a_study() -> Study:
    """Return a study of two methods, of which one lacks a way of preservation, a control and a further group."""
    return study(
        study_line("DIVA", (-2.5, -4.0, -1.0), (-8.0, -20.0, 4.0), cost=10, gap_before_tower=None, warned=1),
        study_line("DCR", (1.25, 0.25, 2.25), (-3.0, -5.0, -1.0), cost=15),
        study_line("DCR", (1.0, -0.5, 2.5), (-1.0, -2.0, 0.0), weights="average, 0.5 of it"),
        study_line("DCR, anchored", (0.5, -1.0, 2.0), (0.25, -0.5, 1.0), cost=17.5, runs=4),
        study_line(
            "self-distillation",
            (-0.5, -1.5, 0.5),
            (-1.5, -3.0, 0.0),
            group="controls",
            cost=4,
            gap_before_tower=None,
            gap=None,
        ),
        study_line("all patches", (-6.0, -7.0, -5.0), (-9.0, -30.0, 12.0), group="condition", cost=12.5),
    )


def write_study(path: Path, written: Study) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written.model_dump_json(indent=1) + "\n")
    return path
