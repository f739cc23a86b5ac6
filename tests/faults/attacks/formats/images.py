"""Pictures, and what training reads them from."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, Features
from datasets import Image as ImageColumn
from PIL import Image

from diva.data import open_source
from diva.data.decode import decode, to_rgb
from diva.images import UnusableError, read_image
from tests.faults.attacks.cell import Format
from tests.fixtures.images import write_shard

SIDE = 40


def picture(number: int = 0, side: int = SIDE) -> Image.Image:
    """Return noise."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8))


def _write_picture(suffix: str, folder: Path) -> None:
    picture().save(folder / f"picture.{suffix}")


def _read_picture(suffix: str, folder: Path) -> bytes:
    return read_image(folder / f"picture.{suffix}").tobytes()


def _write_folder(folder: Path) -> None:
    for number in range(2):
        picture(number).save(folder / f"{number}.png")


def _write_tar(folder: Path) -> None:
    _write_folder(folder)
    write_shard(
        folder / "0.tar", [path.read_bytes() for path in sorted(folder.iterdir())], extension="png", statistics=True
    )
    for path in folder.glob("*.png"):
        path.unlink()


def _write_dataset(folder: Path) -> None:
    _write_folder(folder)
    images = [str(path) for path in sorted(folder.iterdir())]
    rows = Dataset.from_dict({"image": [{"bytes": Path(image).read_bytes(), "path": None} for image in images]})
    rows.cast(Features(image=ImageColumn())).save_to_disk(folder / "saved")


def _read_source(spec: str, folder: Path) -> dict[str, str]:
    """Return the pixels of every image; what cannot be used ends it, as training counts and names it."""
    source = open_source(str(folder / spec) if spec else str(folder))
    found: dict[str, str] = {}
    for raw in source.images():
        try:
            found[raw.key] = hashlib.sha256(to_rgb(decode(raw, 32)).tobytes()).hexdigest()
        except UnusableError as error:
            raise UnusableError(f"{raw.key}: {error}") from error
    return found


FORMATS = (
    *(
        Format(
            f"{suffix.upper()} picture",
            "png" if suffix == "png" else "picture",
            partial(_write_picture, suffix),
            f"picture.{suffix}",
            partial(_read_picture, suffix),
        )
        for suffix in ("jpg", "png", "webp", "gif", "bmp", "tiff", "avif")
    ),
    Format("picture of a folder", "png", _write_folder, "1.png", partial(_read_source, ""), optional=True),
    Format("training tar", "tar", _write_tar, "0.tar", partial(_read_source, "0.tar")),
    Format(
        "img2dataset's statistics",
        "json",
        _write_tar,
        "0_stats.json",
        partial(_read_source, "0.tar"),
        optional=True,
    ),
    Format(
        "saved data set: table",
        "arrow",
        _write_dataset,
        "saved/data-00000-of-00001.arrow",
        partial(_read_source, "saved"),
    ),
    Format("saved data set: state", "json", _write_dataset, "saved/state.json", partial(_read_source, "saved")),
    Format(
        "saved data set: columns", "json", _write_dataset, "saved/dataset_info.json", partial(_read_source, "saved")
    ),
)
