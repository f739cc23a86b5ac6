"""The report's three files as text."""

import json
import re
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from diva.evaluation import wording
from diva.evaluation.drawing import MARKERS, colour, dashes
from diva.markdown import escaped
from diva_benchmarks.report.content import Content

FILTERS: dict[str, Callable[..., str | int]] = {
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
        colour,
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
    environment.filters.update(FILTERS, markdown=escaped, breakable=_breakable, mark=_mark, dash=_dash)
    return {
        "report.html": environment.get_template("report.html").render(content=content),
        "report.md": environment.get_template("report.md").render(content=content),
        # by json: a file's name that is not UTF-8 is one that pydantic cannot write
        "report.json": json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n",
    }


def _mark(number: int) -> str:
    """Return the mark of the column `number`, for a legend."""
    return list(MARKERS.values())[number % len(MARKERS)]


def _dash(number: int) -> str:
    """Return a line as SVG's stroke-dasharray, for a legend."""
    pattern = dashes(number)
    return "none" if isinstance(pattern, str) else " ".join(f"{2 * length:g}" for length in pattern[1])


def _breakable(name: str) -> Markup:
    """Let a long name break where its parts meet, rather than anywhere."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))
