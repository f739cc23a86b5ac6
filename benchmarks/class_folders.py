"""Reading images that lie in one folder for each class, as torchvision's ImageFolder has them."""

from pathlib import Path
from typing import NamedTuple

from diva.errors import Damaged, Invalid, Missing, Unsupported
from diva.images import OTHER_SUFFIXES, SUFFIXES, suffix_of
from diva_benchmarks.stored_image import StoredImage

SPLITS = ("test", "val")  # ImageNet is measured on what it calls its validation images


class ClassFolders(NamedTuple):
    """What lies in the folders of the classes.

    Attributes:
        names: the folders, by label.
        images: of all classes, class by class.
        labels: of the images.
    """

    names: list[str]
    images: list[StoredImage]
    labels: list[int]


def split_folder(folder: Path) -> Path:
    """Return where the classes' folders of a set lie: in `test`, in `val`, or in the set's folder itself.

    ImageNet's own `test` holds no such folders, as its labels were never published.
    """
    return next((folder / name for name in SPLITS if _class_folders(folder / name)), folder)


def read_class_folders(split: Path) -> ClassFolders:
    """List the images of every class; labels follow the folders' names, numbers by their value.

    Raises:
        InputError: there are no folders, one is empty, or one holds further folders.
    """
    classes = _class_folders(split)
    if not classes:
        raise Missing(split, "has neither shards (test/nshards.txt) nor a folder of images for each class")
    if all(path.name.isdecimal() for path in classes):
        classes.sort(key=lambda path: int(path.name))  # ImageNet-V2's folders are 0 to 999
    images, labels = [], []
    for label, folder in enumerate(classes):
        found = [StoredImage(path) for path in _images_in(folder)]
        images += found
        labels += [label] * len(found)
    return ClassFolders([path.name for path in classes], images, labels)


def _class_folders(split: Path) -> list[Path]:
    found = split.iterdir() if split.is_dir() else ()
    return sorted((path for path in found if path.is_dir() and path.name[0] != "."), key=lambda path: path.name)


def _images_in(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    inner = next((path for path in entries if path.is_dir()), None)
    if inner is not None:
        raise Invalid(inner, "is a folder inside a class folder; arrange the images as <set>/test/<class>/<image>")
    images = [path for path in entries if suffix_of(path.name) in SUFFIXES]
    left_out = next((path for path in entries if suffix_of(path.name) in OTHER_SUFFIXES), None)
    if left_out is not None:
        raise Unsupported(left_out, f"is not measured; convert it to one of {', '.join(SUFFIXES)}, or remove it")
    odd = next((path for path in images if not path.is_file()), None)
    if odd is not None:
        raise Damaged(odd, "does not exist or is not a regular file; fetch the data set again")
    if not images:
        raise Missing(folder, f"contains no image ({', '.join(SUFFIXES)}); every class needs at least one")
    return images
