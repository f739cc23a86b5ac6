"""The `diva` command: parses, calls, prints. A verb imports what it needs when it runs."""

import errno
import io
import os
import signal
import sys
import warnings
from contextlib import nullcontext
from types import FrameType
from typing import Annotated, NoReturn

import typer

from diva import __version__
from diva.cli import (
    bench,
    core,
    explain,
    llava,
    miniworld,
    pairs,
    quickstart,
    recipes,
    report,
    run,
    schema,
    segmentation,
)
from diva.errors import DivaError, InputError, is_full, printable
from diva.progress import reporting

UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # which looking for a file raises, wherever it is done

app = typer.Typer(
    name="diva",
    help="Post-train CLIP-style image towers with diffusion feedback, and measure what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verbs in (core, recipes, run, report, quickstart, schema, explain):
    app.add_typer(verbs.app)
for name, group in (
    ("bench", bench),
    ("llava", llava),
    ("miniworld", miniworld),
    ("pairs", pairs),
    ("seg", segmentation),
):
    app.add_typer(group.app, name=name)


def main() -> None:
    """Run the command line; exit status 2 for input that cannot be used, 1 for a failed run, 143 after SIGTERM."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files that are not UTF-8
    os.environ["PYTHONSAFEPATH"] = "1"  # no Python that this one starts imports a secrets.py of the current folder
    asked: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once, however often it is asked to
        asked.append(number)
        raise SystemExit  # so that what is half written goes

    signal.signal(signal.SIGTERM, end)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of other libraries, for who writes code with them; ours are logged
    first = os.environ.get("RANK", "0") == "0"  # of the launcher's processes
    try:
        with reporting(sys.stderr) if first else nullcontext():
            app()
    except BaseException as error:  # a library may have made anything of SystemExit
        if asked:
            _fail("ended by SIGTERM; start it again, with --resume where the command has it", 128 + signal.SIGTERM)
        if isinstance(error, DivaError):
            _fail(f"{error} [{error.code}]", 2 if isinstance(error, InputError) else 1)
        if isinstance(error, OSError) and error.errno in UNREADABLE and error.filename is not None:
            _fail(f"{os.fsdecode(error.filename)}: cannot be read ({error.strerror}); check the path", 2)
        if isinstance(error, OSError) and is_full(error):
            what = error.filename or "a temporary file or a log"  # of a library's; a write does not know its name
            _fail(f"{what}: cannot be written ({error.strerror}); free the disk and start again", 1)
        raise


def _fail(sentence: str, status: int) -> NoReturn:
    print(f"diva: {printable(sentence)}", file=sys.stderr)  # noqa: T201
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    if version:
        typer.echo(f"diva {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
