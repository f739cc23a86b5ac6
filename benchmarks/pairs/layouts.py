"""Reading each set as its authors release it (docs/pairs.md has every layout with its source)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diva.documents import read_json, read_json_lines
from diva.errors import Damaged, Missing, Unsafe
from diva.tables import table_rows
from diva_benchmarks.mmvp_folder import read_mmvp
from diva_benchmarks.pair_set import Pair, PairSet
from diva_benchmarks.pairs.sets import PLAIN
from diva_benchmarks.stored_image import StoredImage

PAIRS = "pairs.jsonl"
MAX_BYTES = 512 * 2**20  # of a set's statements
SUFFIXES = (".jpg", ".jpeg", ".png")
SUGARCREPE = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
# the second as its authors spell it
SUGARCREPE_PP = ("replace_attribute", "swap_atribute", "replace_object", "replace_relation", "swap_object")
WHATSUP = {
    "controlled_images": (("left", "right"), ("on", "under")),
    "controlled_clevr": (("left", "right"), ("in-front", "behind")),
}


def read_pairs(name: str, folder: Path) -> PairSet:
    """Read the set called `name`; images are looked for, not yet decoded.

    Raises:
        InputError: a file, a field or an image is missing, or there are no pairs.
    """
    found = _READERS[name](folder)
    if not found.pairs:
        raise Damaged(found.files[0], "holds no pairs; fetch the data set again")
    return found


def _plain(folder: Path) -> PairSet:
    """Read `pairs.jsonl`: images and statements, two of each, an object a line; perhaps an id and a category."""
    path, pairs = folder / PAIRS, []
    for number, row in read_json_lines(path, limit=MAX_BYTES):
        where = f"{path}, line {number}"
        statements, images = (_two(row, field, where) for field in ("statements", "images"))
        if not all(text.strip() for text in statements):
            raise Damaged(where, "a statement is empty; complete the pair, or remove its line")
        name, category = (
            str(default if row.get(field) is None else row[field])
            for field, default in (("id", number), ("category", ""))
        )
        pairs.append(Pair(name, category, statements, tuple(_image(folder, each, where) for each in images)))
    return PairSet(folder, tuple(pairs), (path,))


def _winoground(folder: Path) -> PairSet:
    path = _first(folder, "data/examples.jsonl", "examples.jsonl")
    images = _first(folder, "data/images", "images")
    pairs = []
    for number, row in read_json_lines(path, limit=MAX_BYTES):
        where = f"{path}, line {number}"
        stored = tuple(_image(images, _text(row, f"image_{side}", where), where) for side in (0, 1))
        tag = row.get("collapsed_tag")
        pairs.append(Pair(f"{row.get('id', number)}", str(tag or ""), _texts(row, "caption_{}", where), stored))
    return PairSet(folder, tuple(pairs), (path,))


def _whatsup(folder: Path) -> PairSet:
    """Pair the images of the same objects in opposite relations; each is told from all four of its captions."""
    files, pairs = [], []
    for subset, opposites in WHATSUP.items():
        path = _first(folder, f"{subset}_dataset.json", f"data/{subset}_dataset.json")
        objects: dict[tuple[str, str], dict[str, tuple[StoredImage, list[str]]]] = defaultdict(dict)
        for number, row in enumerate(_rows(path)):
            where = f"{path}: entry {number}"
            name = Path(_text(row, "image_path", where)).name
            parts, options = Path(name).stem.split("_"), row.get("caption_options")
            if len(parts) < 3 or not isinstance(options, list) or len(options) != 4:
                raise Damaged(where, "needs an image FIRST_RELATION_SECOND and four captions; fetch it again")
            objects[parts[0], parts[-1]][parts[1]] = (_image(path.parent / subset, name, where), options)
        for (first, second), of_relation in objects.items():
            for one, other in opposites:
                if one not in of_relation or other not in of_relation:
                    continue  # the pair accuracy is of those that have both
                (image, options), (opposite, others) = of_relation[one], of_relation[other]
                rest = [text for text in options if text not in (options[0], others[0])]
                pair = Pair(
                    f"{subset}/{first}_{one}_{second}",
                    f"{subset}: {one} or {other}",
                    (options[0], others[0], *rest),
                    (image, opposite),
                )
                if len(pair.statements) != 4 or set(options) != set(others):
                    raise Damaged(path, pair.id, "its two images do not share four captions; fetch it again")
                pairs.append(pair)
        files.append(path)
    return PairSet(folder, tuple(pairs), tuple(files))


def _sugarcrepe(folder: Path) -> PairSet:
    return _of_coco(folder, SUGARCREPE, ("caption", "negative_caption"))


def _sugarcrepe_pp(folder: Path) -> PairSet:
    return _of_coco(folder, SUGARCREPE_PP, ("caption", "caption2", "negative_caption"))


def _of_coco(folder: Path, names: Sequence[str], captions: Sequence[str]) -> PairSet:
    """Read a JSON file a category, whose entries name images of COCO's val2017."""
    images, files, pairs = _first(folder, "val2017"), [], []
    for category in names:
        path = _first(folder, f"{category}.json", f"data/{category}.json")
        for number, row in enumerate(_rows(path)):
            where = f"{path}: entry {number}"
            statements = tuple(_text(row, caption, where) for caption in captions)
            stored = _image(images, _text(row, "filename", where), where)
            pairs.append(Pair(f"{category}/{number}", category, statements, (stored,)))
        files.append(path)
    return PairSet(folder, tuple(pairs), tuple(files))


def _eqben(folder: Path) -> PairSet:
    path, images = _first(folder, "all_select.json"), _first(folder, "images")
    pairs = []
    for number, row in enumerate(_rows(path)):
        where = f"{path}: entry {number}"
        names = [_text(row, f"image{side}", where) for side in (0, 1)]
        stored = tuple(_image(images, name, where) for name in names)
        pairs.append(Pair(str(number), names[0].partition("/")[0], _texts(row, "caption{}", where), stored))
    return PairSet(folder, tuple(pairs), (path,))


def _colorswap(folder: Path) -> PairSet:
    return _tables(folder, ("caption_1", "caption_2"), ("image_1", "image_2"))


def _vismin(folder: Path) -> PairSet:
    return _tables(folder, ("text_0", "text_1"), ("image_0", "image_1"), "category")


def _bivlc(folder: Path) -> PairSet:
    return _tables(folder, ("caption", "negative_caption"), ("image", "negative_image"), "type")


def _tables(folder: Path, texts: Sequence[str], images: Sequence[str], category: str = "") -> PairSet:
    """Read the Parquet files of a test split, as the Hugging Face hub has them."""
    files = sorted(folder.glob("test-*.parquet")) or sorted((folder / "data").glob("test-*.parquet"))
    if not files:
        raise Damaged(folder, "has no test-*.parquet, nor in data/; fetch the data set again")
    pairs: list[Pair] = []
    for path in files:
        for row in table_rows(path, [*texts, *filter(None, [category])], images):
            where = f"{path}, row {len(pairs)}"
            statements = tuple(_text(row, name, where) for name in texts)
            stored = tuple(row[name] for name in images)
            pairs.append(Pair(str(len(pairs)), str(row.get(category) or ""), statements, stored))
    return PairSet(folder, tuple(pairs), tuple(files))


def _first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise Missing(folder, f"has no {' or '.join(names)}; see docs/pairs.md for the layout")


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a JSON list, or of a mapping's values."""
    content = read_json(path, limit=MAX_BYTES)
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Damaged(path, "is not a list of entries; fetch the data set again")
    yield from rows


def _text(row: Any, field: str, where: str) -> str:
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value:
        raise Damaged(where, f"has no text '{field}'; fetch the data set again")
    return value


def _texts(row: Any, field: str, where: str) -> tuple[str, str]:
    return _text(row, field.format(0), where), _text(row, field.format(1), where)


def _two(row: Any, field: str, where: str) -> tuple[str, str]:
    values = row.get(field) if isinstance(row, dict) else None
    if not isinstance(values, list) or len(values) != 2 or not all(isinstance(each, str) for each in values):
        raise Damaged(where, field, "needs two texts; see docs/pairs.md")
    return values[0], values[1]


def _image(folder: Path, name: str, where: str) -> StoredImage:
    """Return the image `name`, which may leave out its suffix, in `folder`."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Unsafe(where, name, "lies outside the data set; fetch it again")
    for suffix in ("", *SUFFIXES):
        if (path := folder / f"{name}{suffix}").is_file():
            return StoredImage(path)
    raise Damaged(where, folder / name, "no such image; fetch the data set again")


_READERS: dict[str, Callable[[Path], PairSet]] = {
    "mmvp": read_mmvp,
    "winoground": _winoground,
    "whatsup": _whatsup,
    "colorswap": _colorswap,
    "sugarcrepe": _sugarcrepe,
    "sugarcrepe-pp": _sugarcrepe_pp,
    "vismin": _vismin,
    "bivlc": _bivlc,
    "eqben": _eqben,
    PLAIN: _plain,
}
