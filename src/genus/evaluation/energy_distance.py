"""The energy distance between two sets of points (Székely & Rizzo 2013)."""

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import Spread, bootstrap_mean
from genus.evaluation.figure import Figure

__all__ = ["energy_distance", "energy_figure"]


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
    x, y = _checked(first, second)
    between, within = _means(x, y, block), (_within(x, block), _within(y, block))
    return float(2 * between.mean() - within[0].mean() - within[1].mean())


def energy_figure(
    samples: Float[Tensor, "sample feature"],
    reference: Float[Tensor, "reference feature"],
    *,
    block: int = 1024,
    seed: int = 0,
) -> Figure:
    """The energy distance with the chance of both sets.

    The spread bootstraps its first-order terms: for each x 2 (E|x − y| − E|x − x′|), and for each
    y the like.
    """
    x, y = _checked(samples, reference)
    from_x, from_y = _means(x, y, block), _means(y, x, block)
    within_x, within_y = _within(x, block), _within(y, block)
    value = float(2 * from_x.mean() - within_x.mean() - within_y.mean())
    terms = [2 * (from_x - within_x), 2 * (from_y - within_y)]
    spread: Spread = bootstrap_mean(terms, seed=seed)
    moved = value - float(terms[0].mean() + terms[1].mean())
    ends = spread.interval
    interval = None if ends is None else (ends[0] + moved, ends[1] + moved)
    return Figure(value, "~", spread.standard_error, len(x), "", interval)


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    if min(len(first), len(second)) < 2:
        raise ValueError(f"each side needs at least 2 points, got {len(first)} and {len(second)}")
    return first.double(), second.double()


def _means(x: Tensor, y: Tensor, block: int) -> Float[Tensor, " x"]:
    """For each x its mean distance to y."""
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(rows, y, compute_mode=mode).mean(1) for rows in x.split(block)])


def _within(x: Tensor, block: int) -> Float[Tensor, " x"]:
    """For each x its mean distance to the others."""
    return _means(x, x, block) * (len(x) / (len(x) - 1))
