"""Bounds on the likelihood of models that infer their hidden causes."""

import math
from typing import NamedTuple, Protocol

from jaxtyping import Float
from torch import Tensor

from genus.engine import Batch, Info

__all__ = ["BoundTerms", "EvidenceLowerBound", "ImportanceWeighted", "Variational"]


class BoundTerms(NamedTuple):
    """The two parts of the evidence lower bound of each datum, in nats.

    Attributes:
        log_likelihood: E_q[log p(x | z)], estimated by one draw of z.
        kl: KL(q(z | x) ‖ p(z)).
    """

    log_likelihood: Float[Tensor, " batch"]
    kl: Float[Tensor, " batch"]


class Variational(Protocol):
    """What these objectives ask of a model."""

    def _bound_terms(self, x: Tensor, condition: Tensor | None) -> BoundTerms:
        """The parts of the evidence lower bound."""

    def _log_weights(
        self, x: Tensor, condition: Tensor | None, num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """log p(x, z) − log q(z | x) for ``num_samples`` draws of z from q."""


class EvidenceLowerBound:
    """−E_q[log p(x | z)] + β KL(q(z | x) ‖ p(z)), in nats a datum.

    With β = 1 it is the negative bound of Kingma & Welling (2014); other values trade
    reconstruction for a simpler code (Higgins et al. 2017) and bound nothing.

    Args:
        beta: β.
    """

    def __init__(self, beta: float = 1.0) -> None:
        if not beta >= 0:
            raise ValueError(f"beta must be at least 0, got {beta}")
        self.beta = beta

    def __call__(self, model: Variational, batch: Batch) -> Info:
        """``loss``, ``reconstruction`` and ``kl``, means over the batch."""
        terms = model._bound_terms(batch.x, batch.condition)
        reconstruction, kl = -terms.log_likelihood.mean(), terms.kl.mean()
        loss = reconstruction + (kl if self.beta == 1.0 else self.beta * kl)
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}


class ImportanceWeighted:
    """−log (1/k) Σᵢ p(x, zᵢ) / q(zᵢ | x), the bound of Burda et al. (2016), in nats a datum.

    Args:
        num_samples: k; the bound closes as k grows, and the decoder works k times as hard.
    """

    def __init__(self, num_samples: int = 5) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        self.num_samples = num_samples

    def __call__(self, model: Variational, batch: Batch) -> Info:
        """``loss`` and ``effective_samples``, 1 / Σ w̄², between 1 and k."""
        weights = model._log_weights(batch.x, batch.condition, self.num_samples)
        bound = weights.logsumexp(1) - math.log(self.num_samples)
        shares = weights.detach().softmax(1)
        return {"loss": -bound.mean(), "effective_samples": (1 / (shares**2).sum(1)).mean()}
