"""The recipes that ship with the package."""

from typing import Annotated

import typer

from diva.cli.options import Overrides

app = typer.Typer()


@app.command()
def recipes(
    recipe: Annotated[str | None, typer.Argument(help="packaged recipe, or a YAML file")] = None,
    overrides: Overrides = None,
) -> None:
    """List the packaged recipes, or print one with every field, as a run would use it."""
    from diva.documents import read_yaml
    from diva.recipes import load_recipe, packaged_recipes, to_yaml

    if recipe is not None:
        typer.echo(to_yaml(load_recipe(recipe, overrides or ())), nl=False)
        return
    for name, path in packaged_recipes().items():
        typer.echo(f"{name}: {read_yaml(path)['description']}")
