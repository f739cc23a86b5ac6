"""Opening images that came from elsewhere: the one place that calls PIL's reader."""

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from diva.documents import read_file
from diva.errors import InputError

# PIL opens many more, and one of them, EPS, starts Ghostscript; "JPEG" opens MPO, which has no reader of its own
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
SUFFIXES = ("jpg", "jpeg", "png", "webp", "jpe", "jfif")  # of files that data sets are read from
OTHER_SUFFIXES = ("avif", "bmp", "gif", "heic", "heif", "ico", "jp2", "jxl", "pgm", "ppm", "tga", "tif", "tiff")
MAX_PIXELS = 89_478_485  # what PIL warns of as a decompression bomb: 256 MiB in RGB
MAX_BYTES = 256 * 2**20  # of an encoded image


def suffix_of(name: str) -> str:
    """Return what follows the last dot of a file's name, in lower case; a hidden file's own dot does not count."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem and dot else ""


class UnusableError(Exception):
    """An image that cannot be used; the message says why."""


class TooSmallError(UnusableError):
    """An image with a side of too few pixels; nothing else is wrong with it."""


def decode_image(encoded: bytes, min_side: int = 1) -> Image.Image:
    """Return the decoded image in its own colour mode.

    Args:
        encoded: a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF file.
        min_side: fewest pixels that its shorter side may have.

    Raises:
        TooSmallError: it has fewer.
        UnusableError: it is of another format, damaged, cut short, or has more than 89 million pixels.
    """
    if not encoded:
        raise UnusableError("it is empty")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        _check_size(image, min_side)
        image.load()
    except (UnusableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableError(f"cannot identify it as one of {', '.join(FORMATS)}") from error
    except Exception as error:  # damaged files make PIL's readers raise anything
        raise UnusableError(" ".join(str(error).split()) or type(error).__name__) from error
    return image


def _check_size(image: Image.Image, min_side: int) -> None:
    if min(image.size) < min_side:
        raise TooSmallError(f"only {image.width} × {image.height} pixels")
    if image.width * image.height > MAX_PIXELS:
        raise UnusableError(f"{image.width} × {image.height} pixels are too many")


def read_image(path: Path, min_side: int = 1) -> Image.Image:
    """Return the decoded image in the file `path`, in its own colour mode.

    Raises:
        TooSmallError, UnusableError: as for `decode_image`, or it is no regular file or cannot be read.
    """
    try:
        encoded = read_file(path, MAX_BYTES)
    except InputError as error:
        raise UnusableError(str(error).removeprefix(f"{path}: ").partition(";")[0]) from error
    return decode_image(encoded, min_side)
