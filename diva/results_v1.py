"""Reading result files of version 1, which diva 0.1 wrote, as those of version 2.

Version 1 had one text for task and part, one for all settings, counts of 0 for what was missing, the margin among
the metrics, and lists of numbers as text. Its mIoU and relative score carried the test of another figure, which is
left out.
"""

import json
import re
from typing import Any

TASKS = {"zero_shot": "zero-shot", "llava": "llava-bench"}
HEADLINES = {"mmvp-vlm": "average", "zero_shot": "average", "segmentation": "mIoU"}
PARTED = re.compile(r"(zero_shot|segmentation)/(.+)|(mmbench|pope)-(.+)|(llava)-bench-(wild)")
UNTESTED = {"mIoU", "relative"}  # metrics that version 1 set beside the test of another one
BREAKDOWNS = {
    "category": "visual pattern",
    "average": "kind of set",
    "IoU": "class",
}  # by how a metric's name began
NUMBERS = re.compile(r"\d+( \d+)*")
ARRAYS = ("classes", "intersection", "union", "label", "outline_intersection", "outline_union")
MISSING = ("absent", "failed")


def read_version_1(content: bytes) -> dict[str, Any] | None:
    """Return a version 1 file as the fields of a version 2 result; None for what is not of version 1."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None  # the schema of version 2 says what is wrong with it
    if not isinstance(fields, dict) or fields.get("schema_version") != 1:
        return None
    try:
        return _upgraded(fields)
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration):
        return fields  # damaged: refused by the schema, field by field


def _upgraded(old: dict[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key not in ("benchmark", "protocol")}
    benchmark, protocol = old["benchmark"], old["protocol"]
    found = PARTED.fullmatch(benchmark)
    task, part = [each for each in found.groups() if each] if found else (benchmark, "")
    metrics, margin = dict(old["metrics"]), None
    if task == "zero_shot":
        headline, settings = (protocol, {}) if part else ("average", {})
        margin = metrics.pop("margin", {}).get("value")
        kinds = [(name, *name.partition("/")[::2]) for name in metrics]
        new["missing"] = [{"name": name, "reason": kind} for _, kind, name in kinds if kind in MISSING]
        metrics = {name: metrics[name] for name, kind, _ in kinds if kind not in MISSING}
    else:
        compared = (each["metric"] for each in old.get("comparisons", ()) if each["metric"] in metrics)
        headline = HEADLINES.get(task) or next(compared, next(iter(metrics), "none"))
        settings = {"protocol": protocol}
    return new | {
        "schema_version": 2,
        "task": TASKS.get(task, task),
        "part": part,
        "headline": headline,
        "settings": settings,
        "metrics": {name: each | {"breakdown": _breakdown(name)} for name, each in metrics.items()},
        "items": [_item(each) for each in old["items"]],
        "comparisons": [_comparison(each, margin) for each in old.get("comparisons", ())],
        "baseline": old.get("baseline") and _upgraded(old["baseline"]),
    }


def _breakdown(metric: str) -> str:
    *above, _ = metric.split("/")
    return BREAKDOWNS.get(above[0], above[-1]) if above else ""


def _comparison(old: dict[str, Any], margin: float | None) -> dict[str, Any]:
    untested = {"test": None, "p_value": None} if old["metric"] in UNTESTED else {}
    return old | untested | ({"margin": margin} if old["metric"] == "average" else {})


def _item(old: dict[str, Any]) -> dict[str, Any]:
    details = {
        name: list(map(int, value.split())) if name in ARRAYS and NUMBERS.fullmatch(value) else value
        for name, value in old.get("details", {}).items()
    }
    return old | {"details": details}
