"""The log odds of binary data: where biases begin."""

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["described", "log_odds", "mean_rate", "odds_of_share"]

RAREST = 1e-3


def mean_rate(mean: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The mean of binary data, flat, with the dtype and device of ``like``.

    Raises:
        ValueError: where it has another shape, or an entry outside 0 to 1.
    """
    rate = torch.as_tensor(mean).to(like)
    if rate.shape != shape or not bool(((rate >= 0) & (rate <= 1)).all()):
        raise ValueError(f"mean must have shape {shape} and entries 0 to 1; got {described(rate)}")
    return rate.flatten()


def described(given: Tensor) -> str:
    """The shape and the range of a tensor, as an error shows them."""
    said = f"shape {tuple(given.shape)}"
    missing = int(given.isnan().sum())
    if missing:
        return f"{said}, {missing} of {given.numel()} entries NaN"
    return f"{said}, entries {given.min():g} to {given.max():g}" if given.numel() else said


def log_odds(rate: Tensor) -> Tensor:
    """log p/(1 − p); what is always 0 or always 1 gets the odds of one exception in a thousand."""
    return rate.clamp(RAREST, 1 - RAREST).logit()


def odds_of_share(share: Any) -> float:
    """log s/(1 − s) of the share of hidden units that are on before learning.

    Raises:
        ValueError: where it does not lie between 0.001 and 0.999.
    """
    if not isinstance(share, int | float) or not RAREST <= share <= 1 - RAREST:
        raise ValueError(
            f"share must be a number from {RAREST} to {1 - RAREST}, got {share!r}; it is the share "
            "of hidden units that are on before learning, such as 0.02"
        )
    return math.log(share / (1 - share))
