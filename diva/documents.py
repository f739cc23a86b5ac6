"""Reading text that came from elsewhere: JSON, lines of JSON and YAML, within limits."""

import io
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from diva.errors import Damaged, InputError, Invalid, Unsafe

Model = TypeVar("Model", bound=BaseModel)
MAX_BYTES = 64 * 2**20  # of a document; a command that reads data sets names its own limit
MAX_YAML_BYTES = 2**20
FileName = Annotated[str, Field(pattern=r"^[^./\x00][^/\x00]*$")]  # of a file beside the document that names it
MAX_DEPTH = 64  # of lists in lists
MAX_NODES = 100_000  # of a YAML file, with every alias written out


class _Loader(yaml.SafeLoader):
    """Plain values, as most people read YAML: 1e-4 is a number, 2026-01-02 a text; no key may be given twice."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.composer.ComposerError(
                    None, None, f"the key '{key.value}' is given twice", key.start_mark
                )
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device, which might never end, is refused.

    Raises:
        InputError: it is missing, is not a regular file or cannot be opened.
    """
    try:
        # a FIFO without a writer would block
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(path, "is not a regular file; give one")
    return open(descriptor, "rb")


def path_within(folder: Path, name: str, where: str) -> Path:
    """Return the path of the file `name` that a document keeps in `folder`; `where` begins the sentence.

    Raises:
        InputError: the name leads out of the folder.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Unsafe(where, name, "lies outside the data set; fetch it again")
    return folder / name


def read_file(path: Path, limit: int | None = MAX_BYTES) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file, or a link to one.
        limit: most bytes that it may have; None for any.

    Raises:
        InputError: as for `open_file`, or it is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise Invalid(path, f"has {size:,} bytes, more than the {limit:,} that it may have")
        try:
            return file.read()
        except OSError as error:
            raise _unreadable(path, error) from error


def read_json(path: Path, *, limit: int | None = MAX_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: it cannot be read, is larger than `limit` bytes, or is not JSON.
    """
    return parse_json(read_file(path, limit), str(path))


def read_model(path: Path, model: type[Model], remedy: str, *, limit: int | None = MAX_BYTES) -> Model:
    """Return the content of a JSON file as `model`.

    Raises:
        InputError: it cannot be read, is larger than `limit` bytes, or is not of this kind; the sentence names the
            field and ends with `remedy`.
    """
    try:
        return parse_model(read_file(path, limit), model)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise Invalid(path, field, f"{first['msg']}; {remedy}") from error


def parse_model(content: bytes, model: type[Model]) -> Model:
    """Return what a JSON text says as `model`; names of files that are not UTF-8, too, which pydantic reads not.

    Raises:
        ValidationError: it is not JSON, or not of this kind.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return model.model_validate_json(content)  # which says what is wrong with it
    return model.model_validate(document)


def parse_json(content: bytes | str, where: str) -> Any:
    """Return what a JSON text says; `where` begins the sentence on what is wrong with it.

    Raises:
        InputError: it is not JSON, or lists lie in lists more than 64 deep.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(where, f"is not JSON ({error}); fetch or write it again") from error
    if _deeper(document, MAX_DEPTH):
        raise Invalid(where, f"its lists or mappings lie more than {MAX_DEPTH} deep in each other; check the file")
    return document


def read_json_lines(path: Path, *, limit: int | None = MAX_BYTES) -> Iterator[tuple[int, Any]]:
    """Yield the number of each line of a JSON-lines file, from 1 on, and what it says; empty lines are left out.

    A line ends at a line feed alone: U+2028 and its like may stand unescaped in a JSON string.

    Raises:
        InputError: the file cannot be read, is larger than `limit` bytes, or a line is not JSON.
    """
    for number, line in enumerate(read_file(path, limit).split(b"\n"), 1):
        if line.strip():
            yield number, parse_json(line, f"{path}, line {number}")


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, as `parse_yaml` reads it.

    Raises:
        InputError: as for `parse_yaml`, or it cannot be read or is larger than 1 MiB.
    """
    try:
        text = read_file(path, MAX_YAML_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path, f"is not YAML ({error}); check the file") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Return what a YAML text says, of plain values alone; `where` begins the sentence on what is wrong with it.

    Raises:
        InputError: as for `check_yaml`, or it holds Python objects or gives a key twice.
    """
    check_yaml(text, where)
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise Damaged(where, f"is not YAML ({_flaw(error)})") from error


def check_yaml(text: str, where: str) -> None:
    """Check a YAML text, in time linear in its length, before it is built; `where` begins the sentence.

    Raises:
        InputError: it is not YAML, is nested too deep, or its aliases unfold to too many values ("billion laughs").
    """
    sizes: dict[str, int] = {}  # of what each anchor names, written out
    counts, anchors = [0], [""]  # of the open lists and mappings, the document outermost
    try:
        for event in yaml.parse(io.StringIO(text), Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                counts[-1] += MAX_NODES + 1 if event.anchor in anchors else sizes.get(event.anchor or "", 1)
            elif isinstance(event, yaml.ScalarEvent):
                counts[-1] += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                counts.append(1)
                anchors.append(event.anchor or "")
            elif isinstance(event, yaml.CollectionEndEvent):
                size, anchor = counts.pop(), anchors.pop()
                counts[-1] += size
                if anchor:
                    sizes[anchor] = size
            if len(counts) > MAX_DEPTH or sum(counts) > MAX_NODES:
                raise Invalid(where, "is nested too deep, or its aliases unfold to too many values; simplify it")
    except (yaml.YAMLError, RecursionError) as error:
        raise Damaged(where, f"is not YAML ({_flaw(error)})") from error


def _flaw(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    text = (
        f"line {mark.line + 1}: {error.problem}" if isinstance(error, yaml.MarkedYAMLError) and mark else str(error)
    )
    return " ".join(text.split())


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    return Damaged(path, f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path")


def _deeper(document: Any, depth: int) -> bool:
    level = [document]
    for _ in range(depth):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
