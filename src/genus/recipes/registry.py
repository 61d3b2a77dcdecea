"""The recipe book: every named recipe, and how to build one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genus import data as datasets
from genus.data import Dataset
from genus.engine.seeding import seeded
from genus.recipes import (
    autoregressive,
    boltzmann,
    deep_belief,
    deep_boltzmann,
    diffusion,
    implicit,
    linear,
    real_boltzmann,
    variational,
)
from genus.recipes.recipe import Entry, Full, Recipe
from genus.recipes.settings import check_settings, nearest
from genus.spaces import Pixels

__all__ = ["ENTRIES", "build", "data_for", "find", "loading_of"]

_FAMILIES = (
    linear,
    autoregressive,
    boltzmann,
    real_boltzmann,
    deep_belief,
    deep_boltzmann,
    variational,
    diffusion,
    implicit,
)

ENTRIES: dict[str, Entry] = {entry.name: entry for part in _FAMILIES for entry in part.ENTRIES}


def find(name: str) -> Entry:
    """The recipe of this name; ``NAME@DATA`` is the recipe on another data set.

    Raises:
        ValueError: where there is none; names the nearest.
    """
    plain, at, other = name.partition("@")
    if plain not in ENTRIES:
        raise ValueError(
            f"no recipe is called {plain!r}{nearest(plain, list(ENTRIES))} "
            f"(recipes: {', '.join(ENTRIES)})"
        )
    entry = ENTRIES[plain]
    if not at:
        return entry
    return replace(entry, name=name, data=other, published={}, loading={}, full=Full())


def data_for(
    entry: Entry,
    data: str | Path | None = None,
    view: str | None = None,
    loading: Mapping[str, Any] | None = None,
) -> Dataset:
    """The data set that a recipe shall learn.

    Args:
        entry: the recipe.
        data: name or path; the recipe's own by default.
        view: the recipe's own where the data are images of levels, else that of the data set.
        loading: options for the loader, such as ``resize``; the recipe's own data are loaded
            with those of the recipe where these do not say otherwise.

    Raises:
        ValueError: where there are no such data, or they cannot be loaded so.
    """
    name = entry.data if data is None else data
    options = loading_of(entry, data, loading)
    loaded = datasets.load(name, view=view, **options)  # type: ignore[arg-type]
    suits = loaded.kind == "image" and isinstance(loaded.stored_space, Pixels)
    return loaded.viewed(entry.view) if view is None and entry.view and suits else loaded


def loading_of(
    entry: Entry, data: str | Path | None = None, loading: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The options with which :func:`data_for` loads these data."""
    return {**(entry.loading if data is None else {}), **(loading or {})}


def build(
    name: str,
    data: Dataset | str | Path | None = None,
    *,
    seed: int = 0,
    **settings: Any,
) -> Recipe:
    """A recipe, ready to be trained: ``build("vae", num_latent=20)``.

    Args:
        name: of the recipe, see :data:`ENTRIES`.
        data: a data set, its name or a path; the recipe's own by default.
        seed: of initialisation, order and draws.
        settings: keyword parameters of the recipe.

    Raises:
        ValueError: where name or settings are unknown, or the data do not suit the recipe.
    """
    entry = find(name)
    check_settings(entry, settings)
    chosen = data if isinstance(data, Dataset) else data_for(entry, data)
    loading = {} if isinstance(data, Dataset) else loading_of(entry, data)
    with seeded(seed, torch.device("cpu")):
        recipe = entry.function(chosen, **settings)
    return replace(recipe, name=name, seed=seed, settings=dict(settings), loading=loading)
