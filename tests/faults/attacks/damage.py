"""What can happen to a file: each attack changes one file in place."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

JSON = frozenset({"json"})
LINES = frozenset({"json", "json lines"})
YAML = frozenset({"yaml"})
DEEP = 100_000
GIGABYTE = 2**30
BOMB = "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
RAN = "attack-ran"


@dataclass(frozen=True)
class Attack:
    """One way to damage a file.

    Attributes:
        apply: changes the file at a path.
        formats: kinds of files that it makes sense for; empty for any.
        loud: whether nothing of the file is left, so that a reader must refuse it.
        removes: whether no regular file is left, so that an optional one is as if it had never been there.
        endless: whether whoever reads it to its end runs out of memory.
    """

    name: str
    apply: Callable[[Path], None]
    formats: frozenset[str] = frozenset()
    loud: bool = False
    removes: bool = False
    endless: bool = False


class _Program:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (RAN,)


def truncate(path: Path, length: int) -> None:
    """Cut a file to `length` bytes; a negative one counts from the end."""
    content = path.read_bytes()
    path.write_bytes(content[:length])


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file, which is counted from its start; one behind the end counts on from the start."""
    content = bytearray(path.read_bytes())
    place, shift = divmod(bit % (8 * len(content)), 8)
    content[place] ^= 1 << shift
    path.write_bytes(content)


def _halves(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    return content[: len(content) // 2], content[len(content) // 2 :]


def _insert(path: Path, inserted: bytes) -> None:
    first, second = _halves(path)
    path.write_bytes(first + inserted + second)


def _write(content: bytes) -> Callable[[Path], None]:
    return lambda path: _ignore(path.write_bytes(content))


def _ignore(_: object) -> None:
    return None


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return an attack that puts something else under the file's name."""

    def apply(path: Path) -> None:
        path.unlink()
        make(path)

    return apply


def _claim(place: int, size: bytes) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:place] + size + content[place + len(size) :])

    return apply


def _point_outside(path: Path) -> None:
    """Have a document name equal files outside of its folder in the place of those beside it."""
    outside = path.parent.parent / "outside"
    outside.mkdir(exist_ok=True)
    text = path.read_text()
    for beside in sorted(path.parent.iterdir()):
        if beside.is_file() and f'"{beside.name}"' in text:
            (outside / beside.name).write_bytes(beside.read_bytes())
            text = text.replace(f'"{beside.name}"', json.dumps(f"../outside/{beside.name}"))
    path.write_text(text)


def _lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + GIGABYTE)


ATTACKS = (
    Attack("cut to half", lambda path: truncate(path, path.stat().st_size // 2)),
    Attack("cut to one byte", lambda path: truncate(path, 1)),
    Attack("last byte cut off", lambda path: truncate(path, -1)),
    Attack("empty", _write(b""), loud=True),
    Attack("first bit flipped", lambda path: flip(path, 0)),
    Attack("middle bit flipped", lambda path: flip(path, 4 * path.stat().st_size)),
    Attack("last bit flipped", lambda path: flip(path, -1)),
    Attack("nothing but NUL bytes", lambda path: _ignore(path.write_bytes(bytes(path.stat().st_size))), loud=True),
    Attack("NUL bytes at its end", lambda path: _ignore(path.write_bytes(path.read_bytes() + bytes(512)))),
    Attack("not UTF-8", lambda path: _insert(path, b"\xff\xfe\xc3")),
    Attack("U+2028 in its midst", lambda path: _insert(path, "\u2028".encode())),
    Attack("a FIFO", _instead(os.mkfifo), loud=True, removes=True),
    Attack(
        "a link to /dev/zero",
        _instead(lambda path: path.symlink_to("/dev/zero")),
        loud=True,
        removes=True,
        endless=True,
    ),
    Attack("a dangling link", _instead(lambda path: path.symlink_to("nowhere")), loud=True, removes=True),
    Attack("a looping link", _instead(lambda path: path.symlink_to(path.name)), loud=True, removes=True),
    Attack("a folder", _instead(Path.mkdir), loud=True, removes=True),
    Attack("a pickle", _write(pickle.dumps(_Program())), loud=True),
    Attack("a gigabyte of holes behind it", _lengthen),
    Attack("nested too deep", _write(b"[" * DEEP + b"]" * DEEP), LINES | YAML, loud=True),
    Attack("mappings nested too deep", _write(b'{"a":' * DEEP + b"1" + b"}" * DEEP), LINES | YAML, loud=True),
    Attack("a number of 5,000 digits", _write(b"9" * 5000), LINES | YAML, loud=True),
    Attack("a number beyond any float", _write(b"1e999"), LINES | YAML, loud=True),
    Attack("not a number", _write(b"NaN"), LINES | YAML, loud=True),
    Attack("null", _write(b"null"), LINES | YAML, loud=True),
    Attack("an empty mapping", _write(b"{}"), LINES | YAML),
    Attack("an empty list", _write(b"[]"), LINES | YAML, loud=True),
    Attack("aliases that unfold without end", _write(f"a: &a [x]\n{BOMB}".encode()), YAML, loud=True),
    Attack("a Python object", _write(b"!!python/object/apply:os.mkdir [attack-ran]"), YAML, loud=True),
    Attack("names of files outside its folder", _point_outside, JSON),
    Attack(
        "a header of 4 exabytes", _claim(0, (2**62).to_bytes(8, "little")), frozenset({"safetensors"}), loud=True
    ),
    Attack(
        "a header of 2 gigabytes", _claim(0, (2**31).to_bytes(8, "little")), frozenset({"safetensors"}), loud=True
    ),
    Attack("2 billion by 2 billion pixels", _claim(16, b"\x7f\xff\xff\xff" * 2), frozenset({"png"}), loud=True),
    Attack("a member of 8 gigabytes", _claim(124, b"77777777777\0"), frozenset({"tar"})),
    Attack("a member of a negative size", _claim(124, b"-7777777777\0"), frozenset({"tar"})),
)
