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
    import yaml

    from diva.recipes import load_recipe, packaged_recipes

    if recipe is not None:
        fields = load_recipe(recipe, overrides or ()).model_dump(mode="json")
        typer.echo(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True), nl=False)
        return
    for name, path in packaged_recipes().items():
        typer.echo(f"{name}: {yaml.safe_load(path.read_text())['description']}")
