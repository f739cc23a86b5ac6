"""What `diva visualize` made, with its pictures."""

from pathlib import Path

from diva.evaluation.pictures import read_picture
from diva.evaluation.section import Block, Heading, Inline, Number, Paragraph, Pictures, Section, Words, words
from diva.visualize.index import Drawing, Index, ShownPair, View, read_index

CAPTIONS = {
    "map_before": "tokens before",
    "map_after": "tokens after",
    "drawn_before": "drawn before",
    "drawn_after": "drawn after",
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
        blocks += [_view(pair, number, view, path.parent) for number, view in enumerate(pair.views)]
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


def _view(pair: ShownPair, number: int, view: View, folder: Path) -> Pictures:
    names = {"picture": f"image {number + 1}"} | CAPTIONS
    shown = [(field, name) for field, name in view.model_dump().items() if name]
    pictures = [
        read_picture(folder / name, folder).model_copy(update={"caption": names[field]}) for field, name in shown
    ]
    caption: list[Inline] = [Words(text=f"“{pair.statements[number]}”: similarity to image 1 ")]
    for image, text in ((0, ", to image 2 "), (1, "")):
        caption += [
            Number(value=pair.before[number][image], unit="ratio"),
            Words(text=" → "),
            Number(value=pair.after[number][image], unit="ratio"),
            Words(text=text),
        ]
    return Pictures(pictures=pictures, caption=caption)
