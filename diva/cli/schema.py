"""The JSON Schemas of what the suite reads and writes, for editors and other programs."""

import json
from typing import Annotated, Literal

import typer

app = typer.Typer()


@app.command()
def schema(of: Annotated[Literal["result", "recipe"], typer.Argument(help="result or recipe")]) -> None:
    """Print the JSON Schema of a result file or of a recipe.

    A recipe whose first line is `# yaml-language-server: $schema=FILE` is checked and completed by editors.
    """
    from diva.recipes import Recipe
    from diva.results import Result

    typer.echo(json.dumps((Result if of == "result" else Recipe).model_json_schema(), indent=1))
