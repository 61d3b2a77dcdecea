"""Deep belief networks."""

from typing import Any

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine import Budget
from genus.evaluation.error_rate import OVER_DRAWS
from genus.models.boltzmann import DeepBeliefNetwork
from genus.recipes.deep_pictures import deep
from genus.recipes.recipe import Entry, Full, Published, Recipe
from genus.recipes.suits import need_labels, need_real
from genus.spaces import Binary, Categorical, Real

__all__ = ["ENTRIES", "labelled", "unlabelled"]

MOST_FOR_MEAN = 10_000


def labelled(
    data: Dataset,
    *,
    hidden: tuple[int, ...] = (500, 500, 2000),
    hidden_share: float = 0.25,
    learning_rate: float | tuple[float, ...] = 0.5,
    momentum: float = 0.5,
    weight_decay: float = 1e-4,
    k: int = 1,
    num_chains: int = 100,
    up_down: float = 3.0,
    up_down_rate: float = 0.1,
    batch_size: int = 100,
) -> Recipe:
    """Greedy layers, labels at the top, up–down; it draws a chosen digit and tells digits apart.

    For wide layers that learn long, as behind the printed figure, fewer units may be on at
    first: ``hidden_share`` 0.02. Small ones would not learn at all from there.
    """
    chosen = _binary_or_real(need_labels(data, "dbn-500-500-2000"), "dbn-500-500-2000")
    space = chosen.train.condition
    assert isinstance(space, Categorical)
    return _recipe(
        "dbn-500-500-2000",
        chosen,
        _begun(chosen, hidden, space, hidden_share),
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        k=k,
        num_chains=num_chains,
        up_down=up_down,
        up_down_rate=up_down_rate,
        batch_size=batch_size,
    )


def unlabelled(
    data: Dataset,
    *,
    hidden: tuple[int, ...] = (500, 2000),
    hidden_share: float = 0.5,
    learning_rate: float | tuple[float, ...] = 0.1,
    momentum: float = 0.5,
    weight_decay: float = 0.0,
    k: int = 1,
    num_chains: int = 100,
    up_down: float = 0.0,
    up_down_rate: float = 0.02,
    batch_size: int = 100,
) -> Recipe:
    """Greedy layers without labels: a density of the data alone.

    For the likelihood half of the units may be on at first, and rates may be small: with 0.02
    and 0.5 it is 3 nats worse on MNIST after 200 epochs than with these after 270.
    """
    chosen = _binary_or_real(data, "dbn-500-2000")
    return _recipe(
        "dbn-500-2000",
        chosen,
        _begun(chosen, hidden, None, hidden_share),
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        k=k,
        num_chains=num_chains,
        up_down=up_down,
        up_down_rate=up_down_rate,
        batch_size=batch_size,
    )


def _recipe(name: str, data: Dataset, model: DeepBeliefNetwork, **learning: Any) -> Recipe:
    """The recipe of a network that has begun, with these arguments of its algorithm."""
    algorithm = model.algorithm(**learning)
    pictures = deep(model, algorithm, data)
    return Recipe(name, model, data, algorithm, Budget(epochs=100), pictures=pictures)


def _binary_or_real(data: Dataset, recipe: str) -> Dataset:
    """Binary data as they are; levels dequantised, for a Gaussian lowest layer."""
    return data if isinstance(data.space, Binary) else need_real(data, recipe)[0]


def _begun(
    data: Dataset, hidden: tuple[int, ...], labels: Categorical | None, hidden_share: float
) -> DeepBeliefNetwork:
    """The network, its lowest layer at the mean (and deviation) of the data."""
    space = data.space
    assert isinstance(space, Binary | Real)
    model = DeepBeliefNetwork(space, hidden, condition=labels)
    x = data.materialise("train", MOST_FOR_MEAN)
    model.set_visible_bias(x.mean(0), None if isinstance(space, Binary) else _deviation(x))
    model.set_hidden_bias(hidden_share)
    return model


def _deviation(x: Tensor) -> Tensor:
    """Of each entry; that of all where an entry does not vary."""
    own = x.std(0)
    return torch.where(own > 1e-3 * x.std(), own, x.std().clamp_min(1e-6))


ENTRIES = (
    Entry(
        "dbn-500-500-2000",
        family="boltzmann",
        summary="three layers and a label unit, greedy layers and up–down",
        data="mnist",
        view="binary",
        function=labelled,
        source="Hinton, Osindero & Teh 2006",
        published={
            name: Published(0.0125, "=", "mnist", "Hinton, Osindero & Teh 2006, up–down", "binary")
            for name in ("error_rate", OVER_DRAWS)
        },
        model="DeepBeliefNetwork",
        full=Full(Budget(epochs=289), {"hidden_share": "0.02"}, effort=1, precision="bf16"),
    ),
    Entry(
        "dbn-500-2000",
        family="boltzmann",
        summary="two layers without labels, greedy",
        data="mnist",
        view="binary",
        function=unlabelled,
        source="Hinton, Osindero & Teh 2006; Salakhutdinov & Murray 2008",
        published={
            "log_likelihood": Published(
                -85.97,
                ">=",
                "mnist",
                "Salakhutdinov & Murray 2008, two layers, bound with log Z annealed forwards",
                "static",
            )
        },
        model="DeepBeliefNetwork",
        full=Full(
            Budget(epochs=520),
            {"k": "3"},
            effort=1,
            temperatures=14_500,
            chains=150,
            precision="bf16",
        ),
    ),
)
