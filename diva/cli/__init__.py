"""The `diva` command: parses, calls, prints. A verb imports what it needs when it runs."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from diva import __version__
from diva.cli import bench, core, llava, miniworld, quickstart, recipes, report, run, schema, segmentation
from diva.errors import InputError, RunError, is_full, printable

ENDED = 128 + signal.SIGTERM  # as a shell has it

app = typer.Typer(
    name="diva",
    help="Post-train CLIP-style image towers with diffusion feedback, and measure what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verbs in (core, recipes, run, report, quickstart, schema):
    app.add_typer(verbs.app)
for name, group in (("bench", bench), ("llava", llava), ("miniworld", miniworld), ("seg", segmentation)):
    app.add_typer(group.app, name=name)


def main() -> None:
    """Run the command line; exit status 2 for input that cannot be used, 1 for a failed run, 143 after SIGTERM."""
    os.environ["PYTHONSAFEPATH"] = "1"  # no Python that this one starts imports a secrets.py of the current folder
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except RunError as error:
        _fail(str(error), 1)
    except OSError as error:
        if not is_full(error):
            raise
        what = error.filename or "a temporary file or a log"  # of a library's; a write does not know its name
        _fail(f"{what}: cannot be written ({error.strerror}); free the disk and start again", 1)
    except SystemExit as end:
        if end.code == ENDED:
            _fail("ended by SIGTERM; start it again, with --resume where the command has it", ENDED)
        raise


def _end(number: int, _frame: FrameType | None) -> None:
    """End this process by an exception, so that what is half written goes; once, however often it is asked to."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(ENDED)


def _fail(sentence: str, status: int) -> None:
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
