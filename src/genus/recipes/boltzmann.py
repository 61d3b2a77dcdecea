"""Boltzmann machines."""

from dataclasses import replace
from typing import Literal

from genus.data import Dataset
from genus.engine import Budget, Descend, Optimiser
from genus.engine.algorithm import Objective
from genus.engine.optimisers import Schedule
from genus.models.boltzmann import RBM, HiddenBoltzmannMachine
from genus.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.persistent import PersistentGibbs
from genus.objectives.sparsity import Sparsity
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.recipes.boltzmann_pictures import experiments, usual
from genus.recipes.recipe import Entry, Full, Published, Recipe
from genus.recipes.suits import need_binary

__all__ = ["ENTRIES", "machine", "rbm", "twos"]

MOST_FOR_MEAN = 10_000
SPARSITY_COST = 0.1
ChainKind = Literal["persistent", "fast", "tempered", "from data"]


def rbm(
    data: Dataset,
    *,
    num_hidden: int = 500,
    chains: ChainKind = "persistent",
    num_chains: int = 100,
    k: int = 1,
    learning_rate: float = 0.2,
    momentum: float = 0.5,
    weight_decay: float = 0.0,
    max_norm: float | None = None,
    schedule: Schedule = "linear",
    centred: bool = True,
    sparsity: float | None = None,
    sparsity_cost: float | None = None,
    batch_size: int = 100,
) -> Recipe:
    """A restricted Boltzmann machine by (persistent) contrastive divergence.

    ``sparsity`` is the wanted mean of the hidden units, at ``sparsity_cost`` (0.1 where none is
    given); ``max_norm`` the largest norm of the weights that enter a hidden unit.
    """
    model = RBM(need_binary(data, "rbm-500"), num_hidden)
    model.set_visible_bias(data.materialise("train", MOST_FOR_MEAN).mean(0))
    objective = _contrast(chains, k, num_chains, centred, _sparse(sparsity, sparsity_cost))
    optimiser = Optimiser(
        "sgd", learning_rate, (momentum, 0.0), weight_decay, schedule, max_norm=max_norm
    )
    algorithm = Descend(objective, optimiser, batch_size=batch_size, budget=Budget(epochs=20))
    pictures = usual(model, objective, data)
    return Recipe("rbm-500", model, data, algorithm, algorithm.budget, pictures=pictures)


def _contrast(
    chains: ChainKind, k: int, num_chains: int, centred: bool, sparsity: Sparsity | None
) -> Objective:
    """The objective whose chains are of this kind."""
    if chains == "persistent":
        return PersistentContrastiveDivergence(k, num_chains, centred=centred, sparsity=sparsity)
    if chains == "fast":
        return FastPersistentContrastiveDivergence(
            k, num_chains, centred=centred, sparsity=sparsity
        )
    if chains == "tempered":
        return TemperedContrastiveDivergence(10, k, num_chains, centred=centred, sparsity=sparsity)
    return ContrastiveDivergence(k, centred=centred, sparsity=sparsity)


def _sparse(target: float | None, cost: float | None) -> Sparsity | None:
    """Binary hidden units that are seldom on.

    Raises:
        ValueError: where the target is no mean of binary units, or a cost stands alone.
    """
    if target is None:
        if cost is not None:
            raise ValueError(
                f"sparsity_cost is {cost} but sparsity, the wanted mean of the hidden units, is "
                "missing; give it too, such as 0.05"
            )
        return None
    if not 0 < target < 1:
        raise ValueError(
            f"sparsity must be above 0 and below 1, the mean of binary hidden units, got {target}; "
            "none leaves them alone"
        )
    return Sparsity(target, SPARSITY_COST if cost is None else cost)


def twos(
    data: Dataset,
    *,
    num_hidden: int = 50,
    chains: ChainKind = "persistent",
    num_chains: int = 100,
    k: int = 1,
    learning_rate: float = 0.3,
    momentum: float = 0.5,
    weight_decay: float = 0.0,
    batch_size: int = 100,
) -> Recipe:
    """The textbook experiment: a small machine on one digit, and all that it can be asked."""
    need_binary(data, "rbm-twos")
    recipe = rbm(
        data,
        num_hidden=num_hidden,
        chains=chains,
        num_chains=num_chains,
        k=k,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
    )
    pictures = {**recipe.pictures, **experiments(recipe.model, data)}
    return replace(recipe, name="rbm-twos", budget=Budget(epochs=60), pictures=pictures)


def machine(
    data: Dataset,
    *,
    num_hidden: int = 16,
    couplings: Literal["semi-restricted", "all"] = "semi-restricted",
    k: int = 5,
    num_chains: int = 100,
    learning_rate: float = 0.1,
    momentum: float = 0.5,
    batch_size: int = 100,
) -> Recipe:
    """A Boltzmann machine with hidden units, by mean field and persistent chains."""
    space = need_binary(data, "boltzmann")
    model = HiddenBoltzmannMachine(space, num_hidden, couplings=couplings)
    model.set_visible_bias(data.materialise("train", MOST_FOR_MEAN).mean(0))
    algorithm = Descend(
        PersistentGibbs(k, num_chains),
        Optimiser("sgd", learning_rate, (momentum, 0.0), schedule="linear"),
        batch_size=batch_size,
        budget=Budget(epochs=5),
    )
    pictures = usual(model, algorithm.objective, data)
    return Recipe("boltzmann", model, data, algorithm, algorithm.budget, pictures=pictures)


ENTRIES = (
    Entry(
        "rbm-500",
        family="boltzmann",
        summary="500 hidden units, persistent contrastive divergence",
        data="mnist",
        view="binary",
        function=rbm,
        source="Hinton 2002; Tieleman 2008",
        published={
            "log_likelihood": Published(
                -86.34, "~", "mnist", "Salakhutdinov & Murray 2008, CD-25, AIS", "static"
            )
        },
        model="RBM",
        full=Full(
            Budget(epochs=580),
            {"learning_rate": "0.1"},
            effort=500,
            temperatures=14_500,
            precision="bf16",
        ),
    ),
    Entry(
        "rbm-twos",
        family="boltzmann",
        summary="the digit 2 at 16×16 by 50 hidden units, with a picture of all it can do",
        data="mnist",
        view="binary",
        function=twos,
        source="Hinton 2002; Tieleman 2008",
        model="RBM",
        loading={"classes": [2], "resize": 16},
    ),
    Entry(
        "boltzmann",
        family="boltzmann",
        summary="visible units joined to one another and to 16 hidden ones",
        data="bars_and_stripes",
        view="binary",
        function=machine,
        source="Ackley, Hinton & Sejnowski 1985; Osindero & Hinton 2008",
        model="HiddenBoltzmannMachine",
    ),
)
