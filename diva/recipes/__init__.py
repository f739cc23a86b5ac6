"""Recipes: a run as one file, checked before anything heavy is loaded."""

from diva.recipes.compose import PackagedRecipes
from diva.recipes.load import load_recipe, to_yaml, write_recipe
from diva.recipes.schema import Recipe

__all__ = ["PackagedRecipes", "Recipe", "load_recipe", "to_yaml", "write_recipe"]
