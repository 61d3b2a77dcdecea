"""Pseudo-likelihood: every unit predicted from all others, which needs no log Z."""

from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from genus.engine import Batch, Info

__all__ = ["PseudoLikelihood"]


class PredictsUnits(Protocol):
    """A model of binary units that knows each of them given the others."""

    def log_odds(self, x: Tensor) -> Tensor:
        """log p(xᵢ = 1 | others) − log p(xᵢ = 0 | others), shape ``(batch, units)``."""


class PseudoLikelihood:
    """−Σᵢ log p(xᵢ | x₋ᵢ), the mean over the batch, in nats a datum (Besag 1975).

    Its minimum over much data is the true distribution where the model holds it, though its
    value is no likelihood. With log odds aᵢ each term is softplus(aᵢ) − xᵢ aᵢ.
    """

    def __call__(self, model: PredictsUnits, batch: Batch) -> Info:
        """The loss of a batch."""
        x = batch.x.flatten(1)
        odds = model.log_odds(batch.x)
        terms = F.binary_cross_entropy_with_logits(odds, x, reduction="none")
        return {"loss": terms.sum(1).mean()}
