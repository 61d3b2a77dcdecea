"""Gibbs sampling in blocks: all hidden units given the visible ones, then all visible units."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["alternate", "bernoulli"]


def bernoulli(probability: Tensor) -> Tensor:
    """Draws of 0 or 1, as floats, in one pass and one allocation; carries no gradient."""
    return torch.rand_like(probability).lt_(probability.detach())


def alternate(
    x: Tensor,
    hidden_mean: Callable[[Tensor], Tensor],
    visible_mean: Callable[[Tensor], Tensor],
    *,
    steps: int,
    observed: Tensor | None = None,
) -> Tensor:
    """X after ``steps`` rounds of h ~ p(h | x), x ~ p(x | h).

    A round leaves p(x) = Σₕ p(x, h) unchanged and, as a move of x alone, is reversible. With a
    mask it leaves p(missing | observed) unchanged.

    Args:
        x: binary states, shape ``(batch, visible)``.
        hidden_mean: from x to p(h = 1 | x), units independent of each other.
        visible_mean: from h to p(x = 1 | h).
        steps: number of rounds.
        observed: where x keeps its value, of x's shape.
    """
    state = x
    for _ in range(steps):
        state = bernoulli(visible_mean(bernoulli(hidden_mean(state))))
        if observed is not None:
            state = torch.where(observed, x, state)
    return state
