"""What `diva visualize` made, with its pictures."""

from pathlib import Path

from diva.evaluation.pictures import read_picture
from diva.evaluation.section import (
    Block,
    Heading,
    Inline,
    Number,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Words,
    words,
)
from diva.visualize.index import Drawing, Index, ShownPair, View, read_index

TOGETHER = {
    "map_before": "tokens before",
    "map_after": "tokens after",
    "drawn_before": "generated before",
    "drawn_after": "generated after",
}


def read_qualitative(path: Path) -> Section:
    """Read the index at `path` and the pictures beside it.

    Raises:
        InputError: the index or a picture cannot be read.
    """
    index = read_index(path)
    blocks: list[Block] = [
        Heading(text=f"{index.after} against {index.before}", note=str(path)),
        Paragraph(content=_explained(index), style="soft"),
    ]
    if index.drawing:
        blocks.append(Paragraph(content=words(_drawing(index.drawing)), style="soft"))
    for pair in index.pairs:
        before, after = ("right" if right else "wrong" for right in (pair.right_before, pair.right_after))
        blocks.append(Heading(text=f"Pair {pair.id}", note=f"{pair.pattern}: {before} before, {after} after"))
        blocks.append(_pair(pair, path.parent))
        blocks += [_view(number, view, path.parent) for number, view in enumerate(pair.views, start=1)]
    return Section(id="qualitative", title="In pictures", blocks=blocks)


def _explained(index: Index) -> list[Inline]:
    said = (
        "Patch tokens are coloured by the three directions in which both towers' tokens vary most, fitted on both"
        " together: equal colours are equal contents. These directions hold "
    )
    share = Number(value=100 * index.explained, unit="percent")
    return [Words(text=said), share, Words(text=" of the variance.")]


def _drawing(drawing: Drawing) -> str:
    return (
        f"The teacher generated an image from each tower's condition alone, by {drawing.steps} DDIM steps from the"
        f" same noise (seed {drawing.seed}, guidance {drawing.guidance:g}, recipe {drawing.recipe})."
    )


def _pair(pair: ShownPair, folder: Path) -> Pictures:
    """Return both images with their statements, and how similar each statement is to each image."""
    pictures = [
        _picture(folder / view.picture, f"Image {number}: “{statement}”")
        for number, (view, statement) in enumerate(zip(pair.views, pair.statements, strict=True), start=1)
    ]
    caption: list[Inline] = []
    for number, (before, after) in enumerate(zip(pair.before, pair.after, strict=True), start=1):
        for image in (0, 1):
            start = f"Similarity of statement {number} to image 1 " if image == 0 else ", to image 2 "
            caption += [
                Words(text=start),
                Number(value=before[image], unit="ratio"),
                Words(text=" → "),
                Number(value=after[image], unit="ratio"),
            ]
        caption.append(Words(text=". "))
    return Pictures(pictures=pictures, caption=caption)


def _view(number: int, view: View, folder: Path) -> Pictures:
    """Return what the towers, and the teacher by their conditions, make of one image."""
    names = view.model_dump()
    shown = [_picture(folder / names[field], caption) for field, caption in TOGETHER.items() if names[field]]
    return Pictures(pictures=shown, caption=words(f"Image {number}, before and after training."))


def _picture(path: Path, caption: str) -> Picture:
    return read_picture(path, path.parent).model_copy(update={"caption": caption})
