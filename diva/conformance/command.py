"""`diva towers check`: every check of every tower, as a table of Markdown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from diva.atomic import replacing
from diva.conformance.checks import Cell, Check, checks_with
from diva.conformance.subjects import all_names, image_side, subject
from diva.errors import Failed, InputError, Missing, first_line
from diva.progress import steps
from diva.towers import Clip
from diva.towers.quiet import quiet

BEGIN, END = "<!-- diva towers check -->\n", "<!-- end -->\n"


class Row(NamedTuple):
    """The checks of one tower.

    Attributes:
        names: of one image tower, which several may have.
        tokens: which it has, and how wide they are; cells: what each check found.
    """

    names: tuple[str, ...]
    tokens: str
    cells: dict[str, Cell]


def check_towers(names: Sequence[str], out: Path | None, generates: Callable[[Clip], bool]) -> None:
    """Check the towers `names`, or all that are known, and print the table, or write it into the page `out`.

    Args:
        generates: whether a LLaVA with a tower answers.

    Raises:
        InputError: a name is unknown, or `out` has no place for the table.
        RunError: a check found something wrong; the table is complete.
    """
    page = out.read_text(encoding="utf-8") if out else BEGIN + END
    if BEGIN not in page or END not in page:
        raise Missing(out, f"has no lines '{BEGIN.strip()}' and '{END.strip()}'; put them where the table goes")
    alike: dict[str, list[str]] = {}
    for name in names or all_names():
        alike.setdefault(image_side(name), []).append(name)
    checks = checks_with(generates)
    rows = [check(*same, checks=checks) for same in steps(alike.values(), "towers")]
    if out:
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        with replacing(out) as temporary:
            temporary.write_text(f"{before}{BEGIN}{table(rows)}{END}{after}", encoding="utf-8")
    else:
        Console().print(table(rows), end="", markup=False, highlight=False, soft_wrap=True)
    wrong = [
        f"{row.names[0]}: {name}: {cell.text}"
        for row in rows
        for name, cell in row.cells.items()
        if not cell.passed
    ]
    if wrong:
        raise Failed(f"{len(wrong)} checks failed: {'; '.join(wrong)}")


def check(*names: str, checks: Mapping[str, Check]) -> Row:
    """Run `checks` of the one image tower that `names` have.

    Raises:
        InputError: there is nothing of that name.
    """
    with subject(names[0]) as clip, quiet(None):
        try:
            tower = clip.tower
        except InputError as error:
            reason = Cell(f"– {str(error).removeprefix('tower: ')}")
            return Row(names, "–", dict.fromkeys(checks, Cell("–")) | {next(iter(checks)): reason})
        pixels = torch.randn(2, 3, *clip.input.size)
        kinds = f"pooled, {tower.grid[0]} × {tower.grid[1]} patches" if tower.patches else "pooled"
        cells = {name: _run(each, clip, pixels) for name, each in checks.items()}
        return Row(names, f"{kinds}; {tower.width} wide", cells)


def table(rows: Sequence[Row]) -> str:
    """Return `rows` as a table of Markdown."""
    heads = ("tower", "tokens", *rows[0].cells)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for names, tokens, cells in rows:
        named = ", ".join(f"`{name}`" for name in names)
        lines.append("| " + " | ".join((named, tokens, *(cell.text for cell in cells.values()))) + " |")
    return "\n".join(lines) + "\n"


def _run(check: Check, clip: Clip, pixels: Tensor) -> Cell:
    try:
        return check(clip, pixels)
    except InputError as error:
        reason = str(error).removeprefix("--tower: ").removeprefix(f"{clip.source}: ")
        return Cell(f"– {reason.partition(';')[0]}")
    except Exception as error:  # a table of everything is worth more than the first traceback
        return Cell(f"{type(error).__name__}: {first_line(error)}", passed=False)
