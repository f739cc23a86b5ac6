"""The figures of `report.json` in the order in which the page shows them: the tests' own reading of the data."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def of_sections(content: Json) -> dict[str, list[float]]:
    """Return the figures of each section of the page, by the section's id."""
    zero_shot = content["zero_shot"]
    found = {
        "summary": [*of_rows(content["summary"])],
        "methods": [x for each in content["methods"] for x in of_methods(each)],
        "patterns": [
            content["patterns"][0]["chance"],
            *(x for each in content["patterns"] for x in of_patterns(each)),
        ],
        "split": [x for each in content["splits"] for x in of_split(each["effects"])],
        "published": [x for each in content["published"] for x in of_published(each)],
        "zero-shot": [
            *(x for each in zero_shot["kept"] for x in (each["margin"], *of_difference(each["difference"]))),
            *of_rows(zero_shot["sets"] + zero_shot["averages"]),
        ],
        "trade-off": [x for each in content["trade_offs"] for point in each["points"] for x in of_point(point)],
        "llava": [x for each in content["llava"] for x in of_rows(each["rows"] + each["details"])],
        "segmentation": [x for each in content["segmentation"] for x in of_rows(each["rows"] + each["details"])],
        "throughput": [x for each in content["throughput"] for x in of_speed(each)],
        "qualitative": [x for each in content["qualitative"] for x in of_examples(each)],
        "training": [x for each in content["training"] for x in (each["images_per_second"], each["memory_gib"])],
    }
    tables = {f"table-{number}": [*of_rows(each["rows"])] for number, each in enumerate(content["tables"], start=1)}
    return found | tables


def of_rows(rows: list[Json]) -> Iterator[float]:
    for row in rows:
        yield row["n"]
        for cell in filter(None, row["cells"]):
            yield cell["value"]
            yield from cell["interval"] or ()
            if cell["spread"] is not None:
                yield cell["spread"]
            if cell["difference"]:
                yield from of_difference(cell["difference"])


def of_methods(study: Json) -> Iterator[float]:
    for groups in (study["compared"], study["further"]):
        for level in study["untrained"].values():
            yield from (level["mean"], level["lowest"], level["highest"])
        for line in (line for group in groups for line in group["lines"]):
            yield line["runs"]
            if line["warned"]:
                yield line["warned"]
            for measure in ("pairs", "zero_shot", "pooled_probe", "patch_probe"):
                yield from of_difference(line[measure])
            places = ("gap_before_tower", "gap", "drift", "cpu_ms_per_image", "times_reference")
            yield from (line[place] for place in places if line[place] is not None)
    yield from study["untrained_pairs_of"].values()
    for line in (line for group in study["compared"] + study["further"] for line in group["lines"]):
        yield from line["pairs_of"].values()


def of_speed(line: Json) -> Iterator[float]:
    yield line["images_per_second"]
    if line["times_baseline"] is not None:
        yield line["times_baseline"]
    yield from (line["flops_per_second"], line["share_of_peak"], line["memory"])


def of_difference(difference: Json) -> Iterator[float]:
    yield difference["value"]
    yield from difference["interval"] or ()
    yield from (difference[key] for key in ("p_value", "wins", "losses") if difference[key] is not None)


def of_patterns(patterns: Json) -> Iterator[float]:
    yield from of_rows(patterns["rows"])
    for changed in patterns["changed"]:
        for pair in changed["pairs"]:
            yield from (pair["baseline"], pair["tower"])
            for margin in pair["margins"]:
                yield from (margin["baseline"], margin["tower"])


def of_point(point: Json) -> Iterator[float]:
    yield point["share"]
    for score in (point["zero_shot"], point["mmvp"]):
        yield score["value"]
        yield from score["interval"] or ()


def of_examples(seen: Json) -> Iterator[float]:
    yield 100 * seen["explained"]
    for example in seen["examples"]:
        for before, after in zip(example["before"], example["after"], strict=True):
            for image in (0, 1):
                yield from (before[image], after[image])


def of_split(effects: Json | None) -> Iterator[float]:
    if effects:
        for scores, difference in zip(effects["scores"], effects["feature_effect"], strict=True):
            yield from scores
            yield from of_difference(difference)
        for difference in (*effects["tower_effect"], effects["mixed"]):
            yield from of_difference(difference)


def of_published(tower: Json) -> Iterator[float]:
    yield from tower["scores"].values()
    for each in tower["measured"]:
        yield each["score"]
        yield from each["interval"] or ()


def shows(text: str, value: float) -> bool:
    """Return whether `text` is `value`, rounded to the digits that it has."""
    if text.startswith("p < 0.001"):
        return value < 0.001
    digits = re.sub(r"[^\d.+-]", "", text.replace("−", "-"))
    decimals = len(digits.partition(".")[2])
    scaled = value / 2**30 if "GiB" in text else value
    return abs(float(digits) - scaled) <= 0.5 * 10**-decimals + 1e-9
