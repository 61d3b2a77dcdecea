"""The numbers that a network reads of a datum or of a condition."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.spaces import Categorical, Numeric, Sequence, Space

__all__ = ["features", "joined", "num_features"]


def num_features(space: Space | None) -> int:
    """How many numbers :func:`features` gives for one point; 0 for no space."""
    match space:
        case None:
            return 0
        case Sequence():
            return space.max_length * num_features(space.of)
        case Categorical():
            return space.num_dimensions * space.num_categories
    return space.num_dimensions


def features(space: Space, x: Tensor, like: Tensor) -> Tensor:
    """A batch as numbers: levels evenly in [−1, 1], categories as indicator vectors.

    Args:
        space: of x.
        x: shape ``(batch, *space.shape)``.
        like: a tensor whose device and dtype the result takes.

    Returns:
        Shape ``(batch, num_features(space))``.
    """
    match space:
        case Sequence():
            return features(space.of, x.flatten(0, 1), like).reshape(len(x), -1)
        case Categorical():
            return F.one_hot(x.long(), space.num_categories).flatten(1).to(like)
        case Numeric():
            return space.to_real(x).to(like).flatten(1)
    raise ValueError(f"no network reads a {type(space).__name__}; use one of genus.spaces")


def joined(values: Tensor, space: Space | None, condition: Tensor | None) -> Tensor:
    """``values`` and, where there is one, the features of the condition behind them."""
    if space is None or condition is None:
        return values
    return torch.cat([values, features(space, condition, values)], dim=1)
