"""A section of the report as data: blocks that a task fills and that the page, the Markdown and the JSON render.

Figures stand in it with their units; how many digits they get is the renderer's (`diva.evaluation.wording`).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from diva.evaluation.judgement import Interval, Judgement


class Part(BaseModel):
    """A part of the report's content."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Words(Part):
    """A run of text."""

    kind: Literal["words"] = "words"
    text: str
    style: Literal["plain", "strong", "soft", "note", "published"] = "plain"


class Number(Part):
    """A figure, with its 95 % interval and its standard deviation over seeds where there are any."""

    kind: Literal["number"] = "number"
    value: float
    unit: str
    interval: Interval | None = None
    spread: float | None = None
    style: Literal["plain", "published"] = "plain"


class Change(Part):
    """A difference; percentages differ by points. Interval and test are null where nothing could be paired."""

    kind: Literal["change"] = "change"
    value: float
    unit: str = "percent"
    interval: Interval | None = None
    test: str | None = None
    p_value: float | None = None
    wins: int | None = None
    losses: int | None = None
    judgement: Judgement = Judgement.UNTESTED


Inline = Annotated[Words | Number | Change, Field(discriminator="kind")]


class Row(Part):
    """A row of a table; an empty cell was not measured.

    Attributes:
        n: items that the figures rest on.
        role: "group" rows head those that follow, "total" rows are set off.
    """

    name: str
    note: str = ""
    n: int | None = None
    higher_is_better: bool = True
    cells: list[list[Inline]]
    role: Literal["figures", "group", "total"] = "figures"

    def change(self, column: int) -> Change | None:
        """Return the difference that stands in a column."""
        return next((each for each in self.cells[column] if isinstance(each, Change)), None)

    def number(self, column: int) -> Number | None:
        """Return the figure that stands in a column."""
        return next((each for each in self.cells[column] if isinstance(each, Number)), None)


class Head(Part):
    """The title of a column."""

    title: str
    role: Literal["", "baseline", "control"] = ""


class Table(Part):
    """Rows under a head, whose first entry is that of the rows' names."""

    kind: Literal["table"] = "table"
    head: list[Head]
    rows: list[Row]
    wide: bool = False


class Heading(Part):
    """A heading within the section."""

    kind: Literal["heading"] = "heading"
    text: str
    note: str = ""


class Paragraph(Part):
    """Text, with figures in it."""

    kind: Literal["paragraph"] = "paragraph"
    content: list[Inline]
    style: Literal["plain", "soft", "verdict"] = "plain"


class Key(Part):
    """An entry of a figure's legend: the line's colour, the number of its dashes, and its mark, if it has one."""

    text: str
    colour: str
    dashes: int
    mark: str = ""


class Figure(Part):
    """A drawing of what stands in figures beside it."""

    kind: Literal["figure"] = "figure"
    description: str
    caption: str = ""
    keys: list[Key] = []
    uri: str = Field(exclude=True, repr=False)


class Picture(Part):
    """A PNG file: the page embeds it, `report.json` says which it was; sizes are in pixels."""

    path: str
    sha256: str
    width: int
    height: int
    caption: str = ""
    uri: str = Field(exclude=True, repr=False)


class Pictures(Part):
    """Pictures side by side, under one caption."""

    kind: Literal["pictures"] = "pictures"
    pictures: list[Picture]
    caption: list[Inline] = []


class Code(Part):
    """Text as it was typed."""

    kind: Literal["code"] = "code"
    text: str


class Beside(Part):
    """A table with its figures beside it."""

    kind: Literal["beside"] = "beside"
    table: Table
    figures: list[Figure]


class Panels(Part):
    """Small figures in a grid."""

    kind: Literal["panels"] = "panels"
    figures: list[Figure]


class Details(Part):
    """Blocks that the page folds away."""

    kind: Literal["details"] = "details"
    summary: str
    blocks: "list[Block]"


Block = Annotated[
    Table | Heading | Paragraph | Figure | Pictures | Code | Beside | Panels | Details, Field(discriminator="kind")
]


class Remark(Part):
    """A sentence about one tower, for the verdict at the top; `tower` is the hash of its weights."""

    tower: str
    sentence: str


class Section(Part):
    """What a task or a part of the run has to say.

    Attributes:
        id: the page's anchor.
        summary: rows for the table at the top, a cell for each tower.
        sentences: for the top of the page and for the terminal, beside the towers' verdicts.
        published: whether it shows others' figures, which are only there on demand.
    """

    id: str
    title: str
    blocks: list[Block]
    summary: list[Row] = []
    remarks: list[Remark] = []
    sentences: list[str] = []
    published: bool = False


def words(text: str, style: Literal["plain", "strong", "soft", "note", "published"] = "plain") -> list[Inline]:
    """Return `text` as the content of a cell or a paragraph."""
    return [Words(text=text, style=style)]


def plain_table(head: list[str], rows: list[Row], *, wide: bool = False) -> Table:
    """Return a table whose columns are no towers."""
    return Table(head=[Head(title=title) for title in head], rows=rows, wide=wide)


def figures_of(blocks: list[Block]) -> Iterator[Number | Change]:
    """Yield every figure of `blocks`, in the order in which they are shown."""
    for block in blocks:
        if isinstance(block, Details):
            yield from figures_of(block.blocks)
        elif isinstance(block, Beside):
            yield from figures_of([block.table])
        elif isinstance(block, Table):
            yield from (
                each for row in block.rows for cell in row.cells for each in cell if not isinstance(each, Words)
            )
        elif isinstance(block, Paragraph | Pictures):
            content = block.content if isinstance(block, Paragraph) else block.caption
            yield from (each for each in content if not isinstance(each, Words))
