"""Score matching: the slope of log p against that of the data, which needs no log Z."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from genus.engine import Batch, Info

__all__ = ["Score", "ScoreMatching", "differentiated"]


class Score(NamedTuple):
    """The slope of log p at some data.

    Attributes:
        value: ψ = ∇ₓ log p(x), of the shape of x.
        divergence: Σᵢ ∂ψᵢ/∂xᵢ, shape ``(batch,)``.
    """

    value: Tensor
    divergence: Float[Tensor, " batch"]


class Scored(Protocol):
    """A density of real data that knows its score."""

    def score_and_divergence(self, x: Tensor) -> Score:
        """Both, with their gradients to the parameters."""


class ScoreMatching:
    """E[½ |ψ(x)|² + Σᵢ ∂ψᵢ(x)/∂xᵢ], the mean over the batch (Hyvärinen 2005).

    Up to a constant this is half the mean squared distance of the model's score to that of the
    data, so that over much data the true distribution minimises it where the model holds it.
    An RBM gives both terms in closed form (Swersky et al. 2011); a model with a free energy
    gets them from :func:`differentiated`.
    """

    def __call__(self, model: Scored, batch: Batch) -> Info:
        """The loss of a batch."""
        score = model.score_and_divergence(batch.x)
        return {"loss": (0.5 * score.value.flatten(1).square().sum(1) + score.divergence).mean()}


def differentiated(free_energy: Callable[[Tensor], Tensor], x: Tensor) -> Score:
    """The score of exp(−F) by automatic differentiation; one backward pass for each dimension.

    Args:
        free_energy: F, from data to values ``(batch,)``; rows independent.
        x: data.
    """
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(free_energy(at).sum(), at, create_graph=True)
        divergence = x.new_zeros(len(x))
        for i, column in enumerate(slope.flatten(1).unbind(1)):
            if column.requires_grad:
                (bend,) = torch.autograd.grad(column.sum(), at, create_graph=True)
                divergence = divergence - bend.flatten(1)[:, i]
    return Score(-slope, divergence)
