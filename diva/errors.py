"""What can go wrong: data for whoever catches it, and one sentence for the user.

Each kind of problem is a class. Its docstring is what `diva explain CODE` prints.
"""

import errno
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Self, TypeVar

MANY = 30  # names that a terminal still shows at a glance
NEAREST = 5  # of more than that


class DivaError(Exception):
    """A problem as data. `str()` is the sentence for the user: where the problem lies, then what is wrong.

    Raise one of the kinds below, `Missing(path, "image_size", "is not given; add it")`.

    Attributes:
        code: the kind of problem, such as "missing".
        where: from the outside in, the file, and the option, field or line; empty if the sentence names none.
    """

    code: ClassVar[str]
    where: tuple[object, ...]

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(self, *parts: object) -> None:
        """Describe a problem.

        Args:
            parts: where it lies, from the outside in (a `Path` for a file; text for an option, a field or a line),
                and last the rest of the sentence: what is wrong, and the remedy.
        """
        super().__init__(*parts)
        self.where = parts[:-1]

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))

    @property
    def file(self) -> Path | None:
        """The innermost file or folder that is named, if one is."""
        return next((each for each in reversed(self.where) if isinstance(each, Path)), None)

    @property
    def field(self) -> str | None:
        """The innermost option, field or line that is named, if one is."""
        return next((each for each in reversed(self.where) if isinstance(each, str)), None)

    def within(self, *where: object) -> Self:
        """Return the same problem, with `where` named before its own place."""
        return type(self)(*where, *self.args)


class InputError(DivaError, ValueError):
    """The input cannot be used: the sentence names the file or field and the remedy (exit status 2)."""


class RunError(DivaError, RuntimeError):
    """A run that had started could not continue: the sentence says where it stopped (exit status 1)."""


class Missing(InputError):
    """A file, folder, column or setting that the command needs was not found.

    Check the spelling of the path, and that the download or the earlier command was complete. Paths in a recipe
    start from the folder that you run `diva` in. docs/data.md lists what every command reads.
    """


class Damaged(InputError):
    """A file is there, but its content is not what a file of its kind holds: cut short, changed, or in disorder.

    Fetch or write it again. Files that `diva` wrote carry hashes (`diva.sha256`), so that a change of a single
    byte is noticed.
    """


class Invalid(InputError):
    """A value, or a file that you gave, is not of the form that this option or field takes.

    `diva COMMAND --help` and the fields of docs/recipes.md say what each one takes.
    """


class Unknown(InputError):
    """A name is not among the known ones. The message lists them, or the nearest ones.

    `diva recipes` lists recipes, and `diva COMMAND --help` the choices of an option.
    """


class Mismatch(InputError):
    """Two things that you gave do not work together, such as a tower and a decoder trained for another tower.

    Change one of them, as the message says.
    """


class Unsupported(InputError):
    """What you gave is well-formed, but this version does not read, write or train that kind.

    The message names the kinds that it does.
    """


class Changed(InputError):
    """What was measured or begun before was not the same as now: another recipe, other data, or another tower.

    Results are compared, and runs resumed, only under equal conditions. Restore the old value, measure again, or
    start a new run in another folder.
    """


class Occupied(InputError):
    """The folder or file to write to holds something that would be lost, or another command is at work there.

    A command replaces only what `diva` wrote, and only if you ask for it. Choose another folder, move what is
    there, wait, or continue the run with `--resume`.
    """


class Unwritable(InputError):
    """The result cannot be written to the place that you gave. Nothing has been computed yet.

    Choose a folder in which you may create files, or a name that is not taken by something of another kind.
    """


class Unsafe(InputError):
    """A file could run code, or reach outside its folder, when it is read. `diva` does not read it.

    Ask its author for safetensors, or convert the file on a machine that you can spare. SECURITY.md says what is
    refused, and why.
    """


class NotInstalled(InputError):
    """The command needs a package or a tokenizer that is not on this machine.

    The message has the line that installs it.
    """


class Failed(RunError):
    """The run stopped, or parts of it failed: a loss or an embedding that is not finite, a failed check or step.

    Read the log that the message names. A run that has checkpoints continues from the last one with `--resume`.
    """


class BadData(RunError):
    """Images that training was reading turned out to be damaged, or too many of them were unusable.

    Single bad images are skipped and reported. Repair the source, or raise `data.max_bad_share`.
    """


class OutOfMemory(RunError):
    """What was to be computed at once does not fit into memory.

    Lower `--batch` or `training.micro_batch`. `diva train --trial` measures the need in a few steps
    (docs/training.md).
    """


class WriteFailed(RunError):
    """Results or checkpoints could not be written, mostly because the disk is full.

    What had been written completely is kept. Free the disk, then run the same command again or use `--resume`.
    """


class Unreachable(RunError):
    """A server did not answer, or refused: the Hugging Face hub, or the judge of an evaluation.

    Results so far are kept. Check the address, the key and the network, then run the same command again.
    """


Error = TypeVar("Error", bound=DivaError)


def kinds() -> dict[str, type[DivaError]]:
    """Return every kind of problem by its code."""
    return {kind.code: kind for base in (InputError, RunError) for kind in base.__subclasses__()}


def from_worker(error: Error) -> Error:
    """Return a data loader's error with the sentence alone; torch puts a worker's traceback before it."""
    return type(error)(str(error).strip().splitlines()[-1].partition(f"{type(error).__name__}: ")[2] or str(error))


def is_full(error: BaseException) -> bool:
    """Tell whether something could not be written because the disk, or what a user may write to it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def printable(text: str) -> str:
    """Return `text` with every character that a terminal or a log would not show as itself written out.

    A file's name may hold line breaks, escape sequences, or bytes that are not UTF-8.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(error: Exception) -> str:
    """Return the first line of what a library says is wrong, or the error's kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def install(extra: str) -> str:
    """Return the part of a sentence that says how to install an extra; there is no release of this package."""
    return f"pip install -e '.[{extra}]' -c constraints.txt, in a clone of diva"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return the end of a sentence that offers the nearest valid name, or where none is near, all of them.

    Of more than 30 valid names it offers the five that are least far. Where no valid name could be a path and
    `name` is one, it says that nothing lies there.
    """
    names = sorted(valid)
    if "/" in name and not any("/" in each for each in names):
        return "no such file or folder, so check the path"
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if len(names) <= MANY:
        return f"valid: {', '.join(names)}"
    return f"the nearest of {len(names)} names: {', '.join(get_close_matches(name, names, n=NEAREST, cutoff=0))}"
