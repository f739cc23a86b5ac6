"""The report's three files as text."""

import base64
import hashlib
import json
import re
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from diva.evaluation import wording
from diva.evaluation.drawing import dashes, tower_key
from diva.evaluation.multiples import row_names
from diva.evaluation.section import Change, Picture, Row
from diva.markdown import escaped
from diva_benchmarks.report.content import Content

LARGE = 224  # pixels of the page that a small picture may fill

FILTERS: dict[str, Callable[..., object]] = {
    function.__name__: function
    for function in (
        wording.plain,
        wording.figure,
        wording.signed,
        wording.points,
        wording.chance,
        wording.duration,
        wording.sign,
        wording.versions,
        row_names,
        tower_key,
    )
}


def render(content: Content) -> dict[str, str]:
    """Return the text of `report.html`, `report.md` and `report.json`, by name."""
    environment = Environment(
        loader=PackageLoader("diva_benchmarks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        FILTERS, markdown=escaped, breakable=_breakable, dash=_dash, bar=_bar, magnified=_magnified
    )
    environment.filters.update(explained=_explained, integrity=_integrity)
    script = Markup(environment.get_template("page.js").render())  # our own, the only one that the page lets run
    return {
        "report.html": environment.get_template("report.html").render(content=content, script=script),
        "report.md": environment.get_template("report.md").render(content=content),
        # by json: a file's name that is not UTF-8 is one that pydantic cannot write
        "report.json": json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n",
    }


def _magnified(picture: Picture) -> int:
    """Return the width in which a picture is shown: its own, or a whole multiple of it below `LARGE`."""
    return picture.width * max(1, LARGE // max(picture.width, picture.height))


def _integrity(script: str) -> str:
    """Return what a content security policy calls `script`."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _bar(change: Change, row: Row) -> Markup:
    """Draw a difference and its interval about 0, on the scale of its row of the summary."""
    changes = [each for column in range(len(row.cells)) if (each := row.change(column))]
    reach = max(abs(end) for each in changes for end in (each.value, *(each.interval or ()))) or 1

    def place(value: float) -> str:
        return f"{50 + 46 * value / reach:.1f}"

    line = ""
    if change.interval:
        line = '<line class="interval" x1="{}" x2="{}" y1="5" y2="5"/>'.format(*map(place, change.interval))
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="50" x2="50" y1="0" y2="10"/>{line}'
        f'<rect x="{float(place(change.value)) - 1.5:.1f}" y="1" width="3" height="8"/></svg>'
    )


def _explained(change: Change) -> str:
    """Return the interval and the test of a difference, for whoever points at it."""
    said: list[str] = [change.judgement]
    if change.interval:
        low, high = (wording.signed(end, change.unit) for end in change.interval)
        said.append(f"95 % interval {low} to {high}{wording.points(change.unit)}")
    if change.p_value is not None:
        said.append(f"{change.test} {wording.chance(change.p_value)}")
    if change.wins is not None:
        said.append(f"{change.wins} won, {change.losses} lost")
    return ", ".join(said)


def _dash(number: int) -> str:
    """Return a line as SVG's stroke-dasharray, for a legend."""
    pattern = dashes(number)
    return "none" if isinstance(pattern, str) else " ".join(f"{2 * length:g}" for length in pattern[1])


def _breakable(name: str) -> Markup:
    """Let a long name break where its parts meet, rather than anywhere."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))
