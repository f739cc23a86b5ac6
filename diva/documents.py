"""Reading text that came from elsewhere: JSON, lines of JSON and YAML, within limits."""

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from diva.errors import InputError

MAX_BYTES = 64 * 2**20  # of a document; a command that reads data sets names its own limit
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 64  # of lists in lists
MAX_NODES = 100_000  # of a YAML file, with every alias written out


def read_file(path: Path, limit: int | None = MAX_BYTES) -> bytes:
    """Return the content of a regular file; a FIFO or a device, which might never end, is not opened for reading.

    Args:
        path: the file, or a link to one.
        limit: most bytes that it may have; None for any.

    Raises:
        InputError: it is missing, is no regular file, cannot be read or is larger.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a FIFO without a writer would block
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path}: is not a regular file; give one")
            if limit is not None and status.st_size > limit:
                raise InputError(f"{path}: has {status.st_size:,} bytes, more than the {limit:,} that it may have")
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error


def read_json(path: Path, *, limit: int | None = MAX_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: it cannot be read, is larger than `limit` bytes, or is not JSON.
    """
    return parse_json(read_file(path, limit), str(path))


def parse_json(content: bytes | str, where: str) -> Any:
    """Return what a JSON text says; `where` begins the sentence on what is wrong with it.

    Raises:
        InputError: it is not JSON, or lists lie in lists more than 64 deep.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not JSON ({error}); fetch or write it again") from error
    if _deeper(document, MAX_DEPTH):
        raise InputError(
            f"{where}: its lists or mappings lie more than {MAX_DEPTH} deep in each other; check the file"
        )
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


def read_yaml_text(path: Path) -> str:
    """Return the text of a YAML file that no reader of YAML can choke on.

    Raises:
        InputError: it cannot be read, is larger than 1 MiB, is not YAML, or unfolds to more than 100,000 values.
    """
    try:
        text = read_file(path, MAX_YAML_BYTES).decode("utf-8-sig")
        check_yaml(text, str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a YAML file ({error})") from error
    return text


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, of plain values alone.

    Raises:
        InputError: as for `read_yaml_text`, or it holds Python objects.
    """
    try:
        return yaml.safe_load(read_yaml_text(path))
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: is not a YAML file ({' '.join(str(error).split())})") from error


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
                counts[-1] += sizes.get(event.anchor or "", 1)
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
                raise InputError(
                    f"{where}: is nested too deep, or its aliases unfold to too many values; simplify it"
                )
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{where}: is not a YAML file ({' '.join(str(error).split())})") from error


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
