"""Class names, and the sentences that they are put into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from timm.data import ImageNetInfo

from diva.documents import read_file
from diva.errors import Damaged, Invalid, Missing
from diva_benchmarks.zero_shot.sets import ZeroShotSet

CLASSES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
SLOT = "{c}"


@dataclass(frozen=True)
class Prompts:
    """What the text tower is asked.

    Attributes:
        classes: their names, by label.
        templates: sentences with `{c}` in the place of the name.
    """

    classes: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def functions(self) -> list[Callable[[str], str]]:
        """The templates as open_clip takes them, from a name to a sentence."""
        return [partial(template.replace, SLOT) for template in self.templates]


def read_prompts(spec: ZeroShotSet, folder: Path, subfolders: Sequence[str] | None = None) -> Prompts:
    """Read the class names and templates that lie in a set's folder.

    ImageNet and its variants can do without: open_clip has the names and the 80 templates of CLIP's authors.

    Args:
        subfolders: the classes' folders by label, where there are any. Without a file of names they name the
            classes; ImageNet's are called by WordNet's numbers or by ImageNet's labels.

    Raises:
        InputError: there are no names or no templates, or they cannot be used.
    """
    return Prompts(_read_classes(spec, folder, subfolders), _read_templates(spec, folder))


def _read_classes(spec: ZeroShotSet, folder: Path, subfolders: Sequence[str] | None) -> tuple[str, ...]:
    path = folder / CLASSES
    if path.is_file():
        names = _lines(path)
        if subfolders is not None and len(subfolders) != len(names):
            raise Invalid(
                path,
                f"{len(names)} names for {len(subfolders)} folders of classes; give one line for each"
                " folder, in the folders' order",
            )
        return names
    if subfolders is not None:
        if spec.has_all_of_imagenet and len(subfolders) != len(IMAGENET_CLASSNAMES):
            raise Invalid(
                folder,
                f"{len(subfolders)} folders of classes, and {spec.title} has {len(IMAGENET_CLASSNAMES)}:"
                f" extract them all, or give the subset its own name and a {CLASSES}",
            )
        known = _imagenet_names(spec)
        return tuple(known.get(name.lstrip("0") or "0", name.replace("_", " ")) for name in subfolders)
    if spec.has_all_of_imagenet:
        return tuple(IMAGENET_CLASSNAMES)
    raise Missing(path, "not found; write one class name per line, in the order of the labels")


def _imagenet_names(spec: ZeroShotSet) -> dict[str, str]:
    """Return the names of ImageNet's classes by what folders are called."""
    names: dict[str, str] = {}
    if spec.is_imagenet:
        names |= dict(zip(ImageNetInfo("imagenet-1k").label_names(), IMAGENET_CLASSNAMES, strict=True))
    if spec.has_all_of_imagenet:
        names |= {str(label): name for label, name in enumerate(IMAGENET_CLASSNAMES)}
    return names


def _read_templates(spec: ZeroShotSet, folder: Path) -> tuple[str, ...]:
    path = folder / TEMPLATES
    if path.is_file():
        templates = _lines(path)
        wrong = next((line for line in templates if SLOT not in line), None)
        if wrong is not None:
            raise Invalid(path, f"'{wrong}' has no {SLOT}; write it where the class name belongs")
        return templates
    if spec.is_imagenet:
        return tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES)
    raise Missing(path, f"not found; write one sentence per line, such as 'a photo of a {SLOT}.'")


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in read_file(path).decode("utf-8-sig").rstrip().split("\n")]
    except UnicodeDecodeError as error:
        raise Damaged(path, f"cannot be read ({error}); fetch the data set again") from error
    if not lines or not all(lines):
        raise Damaged(path, "is empty or has an empty line; give one entry per line")
    return tuple(lines)
