"""Nearest neighbours in blocks, and what they tell of fidelity and diversity."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Manifold", "manifold", "nearest"]

BLOCK = 1024


def nearest(
    queries: Float[Tensor, "query feature"],
    points: Float[Tensor, "point feature"],
    k: int = 1,
    *,
    block: int = BLOCK,
) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest points of every query: distances and indices, shape ``(query, k)``.

    Never holds more than ``block × point`` distances.

    Raises:
        ValueError: where there are fewer than ``k`` points.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"k must be 1 to {len(points)} (the number of points), got {k}")
    parts = [
        _distances(rows, points).topk(k, dim=1, largest=False) for rows in queries.split(block)
    ]
    return torch.cat([part.values for part in parts]), torch.cat([p.indices for p in parts])


@dataclass(frozen=True)
class Manifold:
    """How samples lie among real data, each a share (density may exceed 1).

    Attributes:
        precision: samples inside the real manifold (Kynkäänniemi et al. 2019).
        recall: real data inside the samples' manifold.
        density: in how many real balls a sample lies, over k (Naeem et al. 2020).
        coverage: real balls that hold a sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(
    real: Float[Tensor, "real feature"],
    samples: Float[Tensor, "sample feature"],
    k: int = 5,
    *,
    block: int = BLOCK,
) -> Manifold:
    """Precision, recall, density and coverage with balls that reach the k-th neighbour.

    Raises:
        ValueError: where either set has at most ``k`` members.
    """
    if min(len(real), len(samples)) <= k:
        raise ValueError(
            f"{len(real)} real data and {len(samples)} samples are too few for k={k} neighbours; "
            "give more, or a smaller k"
        )
    real_radius = nearest(real, real, k + 1, block=block)[0][:, -1]
    sample_radius = nearest(samples, samples, k + 1, block=block)[0][:, -1]
    inside_real = torch.zeros(len(samples))
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for start in range(0, len(real), block):
        rows = slice(start, start + block)
        distances = _distances(real[rows], samples)
        hit = distances < real_radius[rows, None]
        inside_real += hit.sum(0)
        covered[rows] = hit.any(1)
        recalled[rows] = (distances < sample_radius).any(1)
    return Manifold(
        precision=float((inside_real > 0).float().mean()),
        recall=float(recalled.float().mean()),
        density=float(inside_real.mean() / k),
        coverage=float(covered.float().mean()),
    )


def _distances(queries: Tensor, points: Tensor) -> Tensor:
    return torch.cdist(queries, points, compute_mode="use_mm_for_euclid_dist_if_necessary")
