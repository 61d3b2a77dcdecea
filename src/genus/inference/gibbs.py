"""Draws for Gibbs sampling in blocks of binary units."""

import torch
from torch import Tensor

__all__ = ["bernoulli"]


def bernoulli(probability: Tensor) -> Tensor:
    """Draws of 0 or 1, as floats, in one pass and one allocation; carries no gradient."""
    return torch.rand_like(probability).lt_(probability.detach())
