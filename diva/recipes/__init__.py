"""Recipes: a run as one file, checked before anything heavy is loaded."""

from diva.recipes.load import load_recipe, packaged_recipes, to_yaml, write_recipe
from diva.recipes.schema import Recipe

__all__ = ["Recipe", "load_recipe", "packaged_recipes", "to_yaml", "write_recipe"]
