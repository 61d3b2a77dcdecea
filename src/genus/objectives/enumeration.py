"""Exact maximum likelihood of machines that are small enough to enumerate."""

from typing import Protocol

from torch import Tensor, nn

from genus.engine import Batch, Info
from genus.engine.known import with_gradient

__all__ = ["EnumeratedLikelihood"]


class Sums(Protocol):
    """Log Z, and the means of units and of their products, by a sum over all states."""

    log_partition: Tensor
    mean: Tensor
    products: Tensor


class Enumerable(Protocol):
    """A machine of joined units whose moments can be summed exactly."""

    pair_weights: nn.Parameter
    bias: nn.Parameter
    pairs: Tensor

    def _free_energy(self, x: Tensor) -> Tensor:
        """F(x), with its gradient."""

    def moments(self) -> Sums:
        """Log Z, E[x] and E[x xᵀ]."""


class EnumeratedLikelihood:
    """−log p(x) = F(x) + log Z, the mean over the batch in nats, with its exact gradient.

    ∂ log Z / ∂Uᵢⱼ = E[xᵢ xⱼ] and ∂ log Z / ∂bᵢ = E[xᵢ], summed over all states
    (Ackley, Hinton & Sejnowski 1985).
    """

    def __call__(self, model: Enumerable, batch: Batch) -> Info:
        """The loss of a batch."""
        energy = model._free_energy(batch.x).mean()
        found = model.moments()
        together = found.products[model.pairs[0], model.pairs[1]]
        log_partition = with_gradient(
            found.log_partition.to(energy), (model.pair_weights, together), (model.bias, found.mean)
        )
        return {"loss": energy + log_partition}
