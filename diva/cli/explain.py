"""What a problem's code means: `diva: PATH: no such file; check the path [missing]`."""

import inspect
from typing import Annotated

import typer

from diva.errors import InputError, Unknown, did_you_mean, kinds

app = typer.Typer()


@app.command()
def explain(
    code: Annotated[str | None, typer.Argument(help="the word in brackets after a message; default: all")] = None,
) -> None:
    """Explain the code at the end of an error message: what the problem is and what to do."""
    known = kinds()
    if code is not None and code not in known:
        raise Unknown("CODE", f"'{code}' is not a code; {did_you_mean(code, known)}")
    for kind in [known[code]] if code else known.values():
        status = 2 if issubclass(kind, InputError) else 1
        typer.echo(f"{kind.code} (exit status {status})\n\n{inspect.cleandoc(kind.__doc__ or '')}\n")
