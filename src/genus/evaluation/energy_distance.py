"""The energy distance between two sets of points (Székely & Rizzo 2013)."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["energy_distance"]


def energy_distance(
    first: Float[Tensor, "first feature"],
    second: Float[Tensor, "second feature"],
    *,
    block: int = 1024,
) -> float:
    """An unbiased estimate of 2 E|x − y| − E|x − x′| − E|y − y′|; zero for equal distributions.

    Being unbiased it may come out slightly below zero.

    Raises:
        ValueError: for fewer than two points a side.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"each side needs at least 2 points, got {len(first)} and {len(second)}")
    x, y = first.double(), second.double()
    between = _total(x, y, block) / (len(x) * len(y))
    within = [_total(z, z, block) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return 2 * between - sum(within)


def _total(x: Tensor, y: Tensor, block: int) -> float:
    mode = "donot_use_mm_for_euclid_dist"
    return float(sum(torch.cdist(rows, y, compute_mode=mode).sum() for rows in x.split(block)))
