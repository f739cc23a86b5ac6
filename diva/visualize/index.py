"""`visualised.json`: the pictures that `diva visualize` made, and the figures that belong to them. Torch-free."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from diva.documents import FileName, read_model

INDEX: Final = "visualised.json"
SCHEMA: Final = 1

Similarities = tuple[tuple[float, float], tuple[float, float]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class View(_Part):
    """One image, each field a PNG beside the index.

    Attributes:
        picture: as the towers see it, cropped and resized.
        map_before, map_after: its patch tokens on the three principal directions of both towers' tokens together.
        drawn_before, drawn_after: the teacher's image under the condition that each tower gives; null where no
            teacher was asked.
    """

    picture: FileName
    map_before: FileName
    map_after: FileName
    drawn_before: FileName | None = None
    drawn_after: FileName | None = None


class ShownPair(_Part):
    """An MMVP-VLM pair.

    Attributes:
        before, after: similarity of each statement (rows) and each image (columns).
        right_before, right_after: whether both statements pick their own image.
    """

    id: str
    pattern: str
    statements: tuple[str, str]
    before: Similarities
    after: Similarities
    right_before: bool
    right_after: bool
    views: tuple[View, View]


class Drawing(_Part):
    """How the teacher drew: by DDIM, from the same noise before and after."""

    recipe: str
    teacher: str
    steps: int
    guidance: float
    seed: int


class Index(_Part):
    """Everything that was made; `before` and `after` are the towers' labels.

    Attributes:
        explained: share of the patch tokens' variance that the maps' three directions hold.
    """

    schema_version: Literal[1] = SCHEMA
    before: str
    before_sha256: str
    after: str
    after_sha256: str
    explained: float
    drawing: Drawing | None
    pairs: list[ShownPair]


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        InputError: it cannot be read, or is not of this version.
    """
    return read_model(path, Index, "run `diva visualize` again")
