"""A `datasets` dataset on disk, as `Dataset.save_to_disk` writes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from datasets import Dataset, Image, load_from_disk
from pyarrow import ArrowInvalid

from diva.data.raw import FileSlice
from diva.data.source import Source
from diva.documents import open_file
from diva.errors import Damaged, Invalid, Missing, first_line
from diva.images import UnusableError

DESCRIBING = ("state.json", "dataset_info.json")


@dataclass(frozen=True, slots=True)
class Row:
    """The image of one row."""

    dataset: Dataset = field(repr=False)
    column: str
    number: int

    @property
    def key(self) -> str:
        """The row's number."""
        return str(self.number)

    def load(self) -> bytes:
        """Return the encoded bytes, from the table or from the file that it refers to.

        Raises:
            UnusableError: the row has no image, or it cannot be read.
        """
        try:
            cell = self.dataset[self.number][self.column]
        except Exception as error:  # damaged tables make pyarrow raise anything
            raise UnusableError(f"the row cannot be read ({error})") from error
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (None, None)
        if not content and not path:
            raise UnusableError("the row has no image")
        return content or FileSlice(self.key, str(path)).load()


@dataclass(frozen=True)
class SavedDatasetSource(Source):
    """The rows of a dataset; each is a unit of its own, so their order is shuffled completely.

    Attributes:
        dataset: the image column alone, undecoded.
        column: its name.
    """

    kind = "datasets"
    dataset: Dataset = field(repr=False)
    column: str

    @classmethod
    def open(cls, spec: str, folder: Path) -> Self:
        """Open a saved dataset; its images are in the column `image`, or else in the first image column.

        Raises:
            InputError: it cannot be opened, holds several splits, or has no image column.
        """
        for table in folder.glob("*.arrow"):
            open_file(table).close()  # a FIFO would be waited for
        try:
            dataset = load_from_disk(str(folder))
        except Exception as error:  # damaged files make datasets raise anything
            raise Damaged(
                "data.source", spec, f"no readable dataset ({first_line(error)}); save it again"
            ) from error
        if not isinstance(dataset, Dataset):
            raise Invalid(
                "data.source",
                spec,
                f"has several splits; give one of the folders {', '.join(f'{spec}/{split}' for split in dataset)}",
            )
        columns = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
        if not columns:
            raise Missing(
                "data.source",
                spec,
                f"has no image column (its columns: {', '.join(dataset.column_names)});"
                " cast one to datasets.Image and save it again",
            )
        column = "image" if "image" in columns else columns[0]
        encoded = dataset.select_columns(column).cast_column(column, Image(decode=False))
        try:
            encoded.data.validate(full=True)  # offsets that lead out of a damaged table kill the process
        except ArrowInvalid as error:
            raise Damaged("data.source", spec, f"is damaged ({first_line(error)}); save it again") from error
        # beside them lies what `datasets` keeps of every filter and map that somebody tried
        tables = {Path(each["filename"]).resolve() for each in dataset.cache_files}
        named = [path for path in folder.iterdir() if path.resolve() in tables or path.name in DESCRIBING]
        names = sorted(path.name for path in named)
        return cls(spec, folder, names, encoded, column)

    def units(self, stream: int, streams: int) -> Sequence[tuple[Row]]:
        """Return every `streams`-th row, from number `stream` on."""
        return [(Row(self.dataset, self.column, row),) for row in range(stream, len(self.dataset), streams)]
