"""Where the sets lie: a folder for each, however its name is spelt."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from diva.documents import read_file
from diva.errors import Invalid, Missing, Unknown, did_you_mean, printable
from diva_benchmarks.zero_shot.sets import SETS, ZeroShotSet

# other names of the sets' folders, without capitals and signs
SYNONYMS = {
    "imagenet": "imagenet1k",
    "ilsvrc2012": "imagenet1k",
    "imagenetv2matchedfrequency": "imagenetv2",
    "imagenetv2matchedfrequencyformatval": "imagenetv2",
    "stanfordcars": "cars",
    "flowers102": "flowers",
    "oxfordflowers102": "flowers",
    "oxfordiiitpet": "pets",
    "oxfordpets": "pets",
    "patchcamelyon": "pcam",
    "pascalvoc2007": "voc2007",
    "voc2007multilabel": "voc2007",
    "coco": "mscococaptions",
    "cococaptions": "mscococaptions",
    "mscoco": "mscococaptions",
}
GROUPS = ("wds", "vtab")  # folders of sets, as in clip-benchmark's names `wds/vtab/resisc45`
PREFIXES = r"^(wds[_-])?(vtab[_-])?"  # its names on the hub, `wds_vtab-resisc45`


class Located(NamedTuple):
    """A set and the folders that go by its name: none where it is absent, and more than one is a mistake."""

    spec: ZeroShotSet
    folders: tuple[Path, ...]


def locate_sets(root: Path, names: str | None) -> list[Located]:
    """Look for the folders of sets in `root`.

    A folder is called as in clip-benchmark, with or without `wds` and `vtab`; capitals and signs play no part.

    Args:
        names: comma-separated; None for the 29. A set that is none of them is named by its folder.

    Raises:
        InputError: `root` is no folder, a name is unknown, or no set that was asked for is there.
    """
    found = _found(root)
    specs = {key: ZeroShotSet(folders[0].name, folders[0].name, "acc1") for key, folders in found.items()}
    published = {_plain(name): spec for name, spec in SETS.items()}
    specs |= published
    if names is not None:
        unknown = next((name for name in names.split(",") if _plain(name) not in specs), None)
        if unknown is not None:
            hint = did_you_mean(unknown, [spec.name for spec in specs.values()])
            raise Unknown("--sets", f"'{unknown}' is unknown; {hint}")
    asked = published if names is None else dict.fromkeys(map(_plain, names.split(",")))
    located = [Located(specs[key], tuple(found.get(key, ()))) for key in asked]
    if not any(each.folders for each in located):
        wanted = ", ".join(each.spec.name for each in located) if names else "any of the 29 sets"
        raise Missing("--data", root, f"has no folder for {wanted}; see docs/data.md for the layout")
    return located


def missing_parts(folder: Path) -> list[str]:
    """Return a sentence where a set's folder has neither as many tars as `test/nshards.txt` says nor classes."""
    split, tars = folder / "test", len(list((folder / "test").glob("*.tar")))
    if (split / "nshards.txt").is_file():
        said = read_file(split / "nshards.txt", 64).decode(errors="replace").strip()
        return [] if said == str(tars) else [f"{split}: has {tars} tars, and nshards.txt says {printable(said)}"]
    if tars:
        return [f"{split}/nshards.txt: is missing, which says how many tars there are"]
    return [] if any(folder.glob("*/*")) else [f"{folder}: holds neither test/*.tar nor folders of classes"]


def unlisted_sets(root: Path) -> list[str]:
    """Return the names of the folders in `root` that hold none of the 29 sets.

    Raises:
        InputError: `root` is no folder.
    """
    published = {_plain(name) for name in SETS}
    return [folder.name for key, folders in _found(root).items() if key not in published for folder in folders]


def _found(root: Path) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise Invalid("--data", root, "is not a folder; give the one with a folder for each set")
    found: dict[str, list[Path]] = {}
    for folder in _folders(root):
        found.setdefault(_plain(re.sub(PREFIXES, "", folder.name)), []).append(folder)
    return found


def _folders(root: Path) -> Iterable[Path]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and folder.name in GROUPS:
            yield from _folders(folder)
        elif folder.is_dir() and not folder.name.startswith("."):
            yield folder


def _plain(name: str) -> str:
    plain = re.sub("[^a-z0-9]", "", name.lower())
    return SYNONYMS.get(plain, plain)
