"""Boltzmann machines of real-valued data."""

from typing import Literal

from genus.data import Dataset
from genus.engine import Budget, Descend, Optimiser
from genus.models.boltzmann import RBM
from genus.objectives.contrastive import PersistentContrastiveDivergence
from genus.objectives.sparsity import Sparsity
from genus.recipes.recipe import Entry, Recipe
from genus.recipes.suits import need_real

__all__ = ["ENTRIES", "gaussian_rbm"]

MOST_FOR_MEAN = 10_000
LEAST_DEVIATION = 0.05


def gaussian_rbm(
    data: Dataset,
    *,
    num_hidden: int = 100,
    hidden: Literal["binary", "gaussian", "categorical", "rectified"] = "binary",
    k: int = 1,
    num_chains: int = 100,
    learning_rate: float = 0.002,
    sparsity_target: float = 0.1,
    sparsity_cost: float = 0.0,
    batch_size: int = 100,
) -> Recipe:
    """Gaussian visible units of learnt variance, by persistent contrastive divergence.

    The deviation of an entry begins at that of the data, at least 1/20 of the largest. Adam
    bounds the step of its logarithm, whose gradient is as large as outliers are far.
    """
    real, space = need_real(data, "rbm-gaussian")
    model = RBM(space, num_hidden, hidden=hidden)
    some = real.materialise("train", MOST_FOR_MEAN)
    deviation = some.std(0)
    least = max(LEAST_DEVIATION * float(deviation.max()), 1e-6)
    model.set_visible_bias(some.mean(0), deviation.clamp_min(least).square())
    sparsity = Sparsity(sparsity_target, sparsity_cost) if sparsity_cost else None
    algorithm = Descend(
        PersistentContrastiveDivergence(k, num_chains, sparsity=sparsity),
        Optimiser("adam", learning_rate, (0.9, 0.999), schedule="linear"),
        batch_size=batch_size,
        budget=Budget(epochs=100),
    )
    return Recipe("rbm-gaussian", model, real, algorithm, algorithm.budget)


ENTRIES = (
    Entry(
        "rbm-gaussian",
        family="boltzmann",
        summary="real-valued visible units of learnt variance, 100 binary hidden ones",
        data="digits",
        view="pixels",
        function=gaussian_rbm,
        source="Cho, Raiko & Ilin 2011",
        model="RBM",
    ),
)
