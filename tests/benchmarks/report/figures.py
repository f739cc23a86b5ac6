"""The tests' own reading of `report.json`: its tables, and its figures in the order of the page."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def section(content: Json, name: str) -> Json:
    """Return the section of that id."""
    (found,) = [each for each in content["sections"] if each["id"] == name]
    return dict(found)


def names(content: Json) -> list[str]:
    """Return the ids of all sections."""
    return [each["id"] for each in content["sections"]]


def tables(blocks: list[Json]) -> Iterator[Json]:
    """Yield every table in its order, those that are folded away too."""
    for block in blocks:
        if block["kind"] == "table":
            yield block
        elif block["kind"] == "beside":
            yield block["table"]
        elif block["kind"] == "details":
            yield from tables(block["blocks"])


def rows(content: Json, name: str, number: int = 0) -> dict[str, Json]:
    """Return the rows of a section's table by their names."""
    return {row["name"]: row for row in list(tables(section(content, name)["blocks"]))[number]["rows"]}


def number(row: Json, column: int) -> Json | None:
    """Return the figure in a cell."""
    return next((dict(each) for each in row["cells"][column] if each["kind"] == "number"), None)


def value(row: Json, column: int) -> float | None:
    """Return the figure in a cell, as a number."""
    found = number(row, column)
    return found and found["value"]


def change(row: Json, column: int) -> Json | None:
    """Return the difference in a cell."""
    return next((dict(each) for each in row["cells"][column] if each["kind"] == "change"), None)


def text(blocks: list[Json]) -> str:
    """Return the headings and paragraphs, figures left out."""
    found = []
    for block in blocks:
        if block["kind"] == "heading":
            found.append(f"{block['text']} {block['note']}")
        elif block["kind"] == "paragraph":
            found.append("".join(each.get("text", "#") for each in block["content"]))
    return "\n".join(found)


def of_sections(content: Json) -> dict[str, list[float]]:
    """Return the figures of each section of the page, by the section's id."""
    return {each["id"]: list(of_blocks(each["blocks"])) for each in content["sections"]}


def of_blocks(blocks: list[Json]) -> Iterator[float]:
    for block in blocks:
        if block["kind"] == "table":
            for row in block["rows"]:
                yield from () if row["n"] is None else (row["n"],)
                for cell in row["cells"]:
                    yield from of_inline(cell)
        elif block["kind"] == "beside":
            yield from of_blocks([block["table"]])
        elif block["kind"] == "details":
            yield from of_blocks(block["blocks"])
        elif block["kind"] == "paragraph":
            yield from of_inline(block["content"])
        elif block["kind"] == "pictures":
            yield from of_inline(block["caption"])


def of_inline(content: list[Json]) -> Iterator[float]:
    for each in content:
        if each["kind"] == "change":
            yield from of_change(each)
        elif each["kind"] == "number":
            yield each["value"]
            yield from each["interval"] or ()
            yield from () if each["spread"] is None else (each["spread"],)


def of_change(difference: Json) -> Iterator[float]:
    yield difference["value"]
    yield from difference["interval"] or ()
    yield from (difference[key] for key in ("p_value", "wins", "losses") if difference[key] is not None)


def shows(text: str, value: float) -> bool:
    """Return whether `text` is `value`, rounded to the digits that it has."""
    if text.startswith("p < 0.001"):
        return value < 0.001
    digits = re.sub(r"[^\d.+-]", "", text.replace("−", "-"))
    decimals = len(digits.partition(".")[2])
    scaled = value / 2**30 if "GiB" in text else value
    return abs(float(digits) - scaled) <= 0.5 * 10**-decimals + 1e-9
