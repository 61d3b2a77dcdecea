"""Parallel tempering: chains at several temperatures that change places.

Chains at inverse temperatures β₀ < … < β_R = 1 of one path of densities f_β walk side by side.
Neighbours, a at the lower and b at the higher β, change places with probability

    min(1, exp(r(a) − r(b)))        r(x) = log f_high(x) − log f_low(x),

which leaves the product of all densities unchanged: what the flat densities find reaches f₁.
Where a pair hardly ever swaps nothing passes, and more temperatures are needed there.

Swendsen & Wang 1986; Desjardins, Courville & Bengio 2010.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Ladder", "Swapped", "exchange", "temper"]


class Ladder(Protocol):
    """Densities f_β of states that visible units determine, a row for each chain."""

    def at(self, visible: Tensor) -> Any:
        """The state of these units; its ``visible`` gives them back."""

    def log_ratio(self, state: Any, low: float, high: float) -> Tensor:
        """Log f_high(x) − log f_low(x) of every chain."""

    def draw(self, state: Any, beta: float) -> Tensor:
        """The units after a move that leaves f_β unchanged."""


class Swapped(NamedTuple):
    """Units after an exchange, and how often each pair of neighbours swapped.

    Attributes:
        units: shape ``(chains, temperatures, units)``.
        rates: share of the chains that swapped, 0 for a pair that was not asked.
    """

    units: Float[Tensor, "chain temperature unit"]
    rates: Float[Tensor, " pair"]


@torch.no_grad()
def exchange(
    path: Ladder,
    units: Float[Tensor, "chain temperature unit"],
    betas: Sequence[float],
    first: int,
) -> Swapped:
    """Offers to swap the pairs of neighbours ``first``, ``first`` + 2, … of every chain.

    Args:
        path: the densities.
        units: of every chain at every temperature.
        betas: rising.
        first: 0 or 1; both in turn ask every pair.

    Raises:
        ValueError: where units are not of as many temperatures, or those do not rise.
    """
    if units.shape[1] != len(betas) or any(a >= b for a, b in pairwise(betas)):
        raise ValueError(
            f"betas must rise and be one for each of {units.shape[1]} temperatures, got {betas}"
        )
    units = units.clone()
    rates = torch.zeros(len(betas) - 1, device=units.device)
    for low in range(first, len(betas) - 1, 2):
        pair = (betas[low], betas[low + 1])
        below, above = units[:, low], units[:, low + 1]
        gain = path.log_ratio(path.at(below), *pair) - path.log_ratio(path.at(above), *pair)
        swapped = torch.rand_like(gain).log() < gain
        rates[low] = swapped.double().mean()
        places = units[:, [low, low + 1]]
        units[:, low : low + 2] = places.flip(1).where(swapped[:, None, None], places)
    return Swapped(units, rates)


@torch.no_grad()
def temper(
    path: Ladder,
    units: Float[Tensor, "chain temperature unit"],
    betas: Sequence[float],
    steps: int = 1,
) -> Swapped:
    """Moves every chain at every temperature, then asks all pairs in two turns; ``steps`` times.

    Args:
        path: the densities.
        units: of every chain at every temperature.
        betas: rising.
        steps: how many.

    Returns:
        The units, and the mean rate at which each pair swapped.
    """
    total = torch.zeros(len(betas) - 1, device=units.device)
    for _ in range(steps):
        moved = [
            path.draw(path.at(row), beta) for row, beta in zip(units.unbind(1), betas, strict=True)
        ]
        units = torch.stack(moved, 1)
        for first in (0, 1):
            units, rates = exchange(path, units, betas, first)
            total += rates / steps
    return Swapped(units, total)
