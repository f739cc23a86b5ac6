"""What `diva visualize` made, with its pictures."""

from pathlib import Path

from diva.visualize.index import Drawing, ShownPair, Similarities, View, read_index
from diva_benchmarks.report.part import Part
from diva_benchmarks.report.pictures import Picture, read_picture


class ShownView(Part):
    """One image: itself, its patch tokens, and what the teacher drew under each tower's condition."""

    picture: Picture
    map_before: Picture
    map_after: Picture
    drawn_before: Picture | None
    drawn_after: Picture | None


class Example(Part):
    """An MMVP-VLM pair with the similarity of each statement (rows) and image (columns)."""

    id: str
    pattern: str
    statements: tuple[str, str]
    before: Similarities
    after: Similarities
    right_before: bool
    right_after: bool
    views: tuple[ShownView, ShownView]


class Qualitative(Part):
    """Two towers seen side by side."""

    path: str
    before: str
    after: str
    explained: float
    drawing: Drawing | None
    examples: list[Example]


def read_qualitative(path: Path) -> Qualitative:
    """Read the index at `path` and the pictures beside it.

    Raises:
        InputError: the index or a picture cannot be read.
    """
    index = read_index(path)
    return Qualitative(
        path=str(path),
        before=index.before,
        after=index.after,
        explained=index.explained,
        drawing=index.drawing,
        examples=[_example(pair, path.parent) for pair in index.pairs],
    )


def _example(pair: ShownPair, folder: Path) -> Example:
    first, second = (_view(view, folder) for view in pair.views)
    return Example(**pair.model_dump(exclude={"views"}), views=(first, second))


def _view(view: View, folder: Path) -> ShownView:
    names = view.model_dump()
    return ShownView(**{field: name and read_picture(folder / name, folder) for field, name in names.items()})
