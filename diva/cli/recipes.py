"""The recipes that ship with the package."""

from typing import Annotated

import typer

from diva.cli.options import ForTower, Overrides

app = typer.Typer()


@app.command()
def recipes(
    recipe: Annotated[str | None, typer.Argument(help="packaged recipe, or a YAML file")] = None,
    overrides: Overrides = None,
    tower: ForTower = None,
) -> None:
    """List the methods, towers and variants of recipes, or print one recipe with every field."""
    from diva.recipes import PackagedRecipes, load_recipe, to_yaml

    if recipe is not None:
        typer.echo(to_yaml(load_recipe(recipe, overrides or (), tower)), nl=False)
        return
    packaged = PackagedRecipes()
    for name, description in packaged.described().items():
        typer.echo(f"{name}: {description}")
    typer.echo(f"TOWER: {', '.join(packaged.towers)}; or METHOD, or METHOD/VARIANT, --tower any other name or path")
