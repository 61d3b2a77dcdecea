"""Recipes: named points, each a model, its data, an algorithm and a budget."""

from genus.recipes.recipe import Entry, Published, Recipe
from genus.recipes.registry import ENTRIES, build, data_for, find, loading_of
from genus.recipes.running import InterruptedRunError, train
from genus.recipes.runs import RunFolder, open_run
from genus.recipes.settings import parse_loading, parse_settings, settings_of

__all__ = [
    "ENTRIES",
    "Entry",
    "InterruptedRunError",
    "Published",
    "Recipe",
    "RunFolder",
    "build",
    "data_for",
    "find",
    "loading_of",
    "open_run",
    "parse_loading",
    "parse_settings",
    "settings_of",
    "train",
]
