"""What a file or folder of weights is, without building the model: `diva towers inspect FILE`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.errors import printable
from diva.towers.checkpoint import weights_sha256
from diva.towers.formats import TowerSource, read_tower
from diva.towers.recognise import image_shape


@dataclass(frozen=True)
class Inspection:
    """What `inspect_tower` found.

    Attributes:
        path: what was read.
        format: in words.
        architecture: open_clip's name, a description, or "unknown".
        parameters: of image and text tower together; image_parameters: of the image tower.
        input_size: height and width in pixels; None where neither a configuration nor a shape tells it.
        activation: "quickgelu", "gelu", "gelu_tanh" or "unknown".
        dtypes: how many parameters are stored in each.
        sha256: of the weights file.
        text_tower: whether there is one.
        warnings: a sentence for each thing that was assumed or is not known.
    """

    path: Path
    format: str
    architecture: str
    parameters: int
    image_parameters: int
    input_size: tuple[int, int] | None
    activation: str
    dtypes: dict[str, int]
    sha256: str
    text_tower: bool
    warnings: tuple[str, ...]


def inspect_tower(path: Path, *, allow_torchscript: bool = False) -> Inspection:
    """Say what `path` is.

    Raises:
        InputError: it is missing, damaged, unsafe or holds no tower.
    """
    source = read_tower(path, allow_torchscript=allow_torchscript)
    dtypes: Counter[str] = Counter()
    for value in source.state.values():
        dtypes[str(value.dtype).removeprefix("torch.")] += value.numel()
    return Inspection(
        path=path,
        format=source.format,
        architecture=source.architecture,
        parameters=dtypes.total(),
        image_parameters=sum(value.numel() for key, value in source.state.items() if key.startswith("visual.")),
        input_size=_input_size(source),
        activation=source.activation,
        dtypes=dict(dtypes),
        sha256=weights_sha256(source.weights),
        text_tower=source.has_text,
        warnings=source.doubts,
    )


def _input_size(source: TowerSource) -> tuple[int, int] | None:
    shape = image_shape(source.state)
    size = shape and shape.patch * shape.grid
    size = source.config.get("vision_cfg", {}).get("image_size", size)
    if isinstance(size, int):
        return size, size
    return (size[0], size[1]) if size else None


def print_inspection(found: Inspection) -> None:
    """Print an inspection as a table, its warnings below."""
    dtypes = ", ".join(f"{name} ({count / 1e6:.1f} M)" for name, count in found.dtypes.items())
    parameters = f"{found.parameters / 1e6:.1f} M, {found.image_parameters / 1e6:.1f} M of them in the image tower"
    rows = {
        "format": found.format,
        "architecture": found.architecture,
        "parameters": parameters,
        "text tower": "yes" if found.text_tower else "no",
        "input size": "{} × {} px".format(*found.input_size) if found.input_size else "unknown",
        "activation": found.activation,
        "dtype": dtypes,
        "SHA-256": found.sha256,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(printable(value)))
    console = Console()
    console.print(printable(str(found.path)), style="bold", soft_wrap=True, markup=False)
    console.print(table)
    for warning in found.warnings:
        console.print(Text.assemble(("warning:", "yellow"), " ", printable(warning)), soft_wrap=True)
