"""Pictures of deep networks: what each layer looks for, and what the chains dream."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine import Algorithm
from genus.engine.seeding import seeded
from genus.models.boltzmann import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.models.boltzmann.greedy import GreedyLayer
from genus.recipes.boltzmann_pictures import are_pictures, filters
from genus.recipes.chains import chains_of
from genus.recipes.learner import learner
from genus.recipes.pictures import laid_out
from genus.spaces import Categorical, Space

__all__ = ["deep", "deep_fantasies", "deep_filters"]

Deep = DeepBeliefNetwork | DeepBoltzmannMachine


def deep(model: Deep, algorithm: Algorithm, data: Dataset) -> Mapping[str, Callable[[], Tensor]]:
    """Filters of every layer, and fantasies; nothing where the data are no binary pictures."""
    if not are_pictures(data):
        return {}
    found: dict[str, Callable[[], Tensor]] = {}
    for depth in range(1, len(model.hidden) + 1):
        name = "filters" if depth == 1 else f"filters-{depth}"
        found[name] = partial(_filters_of, model, depth)
    return {**found, "fantasies": partial(deep_fantasies, model, algorithm)}


@torch.no_grad()
def deep_filters(weights: Sequence[Tensor], space: Space, *, most: int = 100) -> Tensor:
    """What each unit of the last of these layers looks for: a column of W₁ W₂ ….

    As if the layers between were linear, so that it shows a direction and no more (Lee,
    Ekanadham & Ng 2008).

    Args:
        weights: W₁, W₂, …, each of shape ``(below, above)``.
        space: of one-channel images.
        most: of the units, the first ones.

    Returns:
        On [0, 1], shape ``(row, column, height, width)``.
    """
    product = weights[-1][:, :most]
    for below in reversed(weights[:-1]):
        product = below @ product
    return filters(product, space, most=most)


@torch.no_grad()
def deep_fantasies(model: Deep, algorithm: Algorithm, *, most: int = 50) -> Tensor:
    """Where the chains of learning stand: what the layers below make of their hidden units.

    All layers draw but the lowest, whose means are shown. Where there are no chains now,
    samples stand in for them.

    Args:
        model: the whole of it.
        algorithm: as it stands; leaves the generators of random numbers alone.
        most: chains, the first ones.
    """
    now = learner(algorithm)
    chains = None if now is None else chains_of(model, now.objective)
    if chains is None or chains.hidden is None:
        labels = model.condition
        given = None
        if isinstance(labels, Categorical):
            given = torch.arange(most) % labels.num_categories
        return laid_out(model.sample(most, condition=given, seed=0), model.space, columns=10)
    hidden = chains.hidden[:most]
    if isinstance(model, DeepBoltzmannMachine):
        return laid_out(model.decode(hidden), model.space, columns=10)
    depth = len(model.hidden) if not isinstance(now, GreedyLayer) else now.number + 1
    with seeded(0, hidden.device):
        for number in reversed(range(1, depth)):
            layer = model.stack.layer(number)
            hidden = layer.draw_units(layer.field(hidden)[:, : layer.num_units])
    lowest = model.stack.layer(0)
    means = lowest.mean_units(lowest.field(hidden)[:, : lowest.num_units])
    return laid_out(means, model.space, columns=10)


def _filters_of(model: Deep, depth: int) -> Tensor:
    if isinstance(model, DeepBoltzmannMachine):
        return deep_filters(list(model.weights)[:depth], model.space)
    weights = [model.stack.layer(number).unit_weights for number in range(depth)]
    return deep_filters(weights, model.space)
