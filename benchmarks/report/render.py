"""The report's three files as text."""

import json
import re
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from diva.markdown import escaped
from diva_benchmarks.report import wording
from diva_benchmarks.report.content import Content
from diva_benchmarks.report.drawing import dash, mark, series
from diva_benchmarks.report.plots import curves, forest, intervals, radar, trade_off

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
        series,
        dash,
        mark,
    )
}
PLOTS: tuple[Callable[..., str | None], ...] = (radar, intervals, forest, curves, trade_off)


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
    environment.filters.update(FILTERS, markdown=escaped, breakable=_breakable)
    drawings = {draw.__name__: _drawn(draw) for draw in PLOTS}
    return {
        "report.html": environment.get_template("report.html").render(content=content, **drawings),
        "report.md": environment.get_template("report.md").render(content=content),
        # by json: a file's name that is not UTF-8 is one that pydantic cannot write
        "report.json": json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n",
    }


def _drawn(draw: Callable[..., str | None]) -> Callable[..., Markup]:
    def drawn(*arguments: object) -> Markup:
        return Markup(draw(*arguments) or "")  # made by matplotlib, which escapes

    return drawn


def _breakable(name: str) -> Markup:
    """Let a long name break where its parts meet, rather than anywhere."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))
