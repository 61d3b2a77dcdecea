"""The Vendi score: how many different data there are, in effect (Friedman & Dieng 2023).

    exp(−Σ λ log λ)  over the eigenvalues λ of K/n

for a similarity K with ones on its diagonal: 1 where all data are the same, n where none resembles
another.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import bootstrap_mean
from genus.evaluation.figure import Figure
from genus.evaluation.rows import check_rows

__all__ = ["Kernel", "vendi_score"]

Kernel = Literal["cosine", "gaussian"]
LARGEST = 10_000
NEGLIGIBLE = 1e-300


def vendi_score(
    samples: Float[Tensor, "sample feature"],
    *,
    kernel: Kernel = "cosine",
    width: float | None = None,
    seed: int = 0,
) -> Figure:
    """The Vendi score of samples' features, with a bootstrap to first order in their weights.

    Args:
        samples: features, shape ``(sample, feature)``.
        kernel: "cosine", x·y / |x||y|, whose eigenvalues come from the smaller of the Gram and the
            covariance matrix; a sample of norm 0 resembles only the others of norm 0. "gaussian",
            exp(−|x − y|² / 2w²), from the Gram matrix: at most 10,000 samples.
        width: w of the Gaussian kernel, in the unit of the features.
        seed: of the bootstrap. Copies would lower the score, so the score is not taken anew:
            sample i moves it by −score · Σₖ log λₖ (vₖ·xᵢ)², for the eigenvectors v.

    Raises:
        ValueError: for no sample, NaN, a Gaussian kernel without a width, or too many samples.
    """
    rows = check_rows(samples, "samples").double()
    if kernel == "gaussian":
        values, weights = _of_gram(_gaussian(rows, width))
    elif kernel == "cosine":
        unit = _unit(rows)
        few = len(unit) <= unit.shape[1]
        values, weights = _of_gram(unit @ unit.T) if few else _of_covariance(unit)
    else:
        raise ValueError(f'kernel must be "cosine" or "gaussian", got {kernel!r}')
    value = float(torch.exp(-torch.special.xlogy(values, values).sum()))
    moves = -value * weights @ values.clamp_min(NEGLIGIBLE).log()
    spread = bootstrap_mean([moves - moves.mean() + value], seed=seed)
    note = "all samples are the same" if bool((rows == rows[:1]).all()) else ""
    return Figure(value, "~", spread.standard_error, len(rows), note, spread.interval)


def _of_gram(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of K/n, and how much of each belongs to each datum: shape ``(datum, value)``."""
    values, vectors = torch.linalg.eigh(similarity / len(similarity))
    values = values.clamp_min(0)
    return values, len(similarity) * values * vectors.square()


def _of_covariance(unit: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(unit.T @ unit / len(unit))
    return values.clamp_min(0), (unit @ vectors).square()


def _unit(rows: Tensor) -> Tensor:
    """Rows of norm 1; rows of norm 0 share an axis of their own."""
    norm = rows.norm(dim=1, keepdim=True)
    empty = (norm == 0).double()
    return torch.cat([rows / torch.where(norm > 0, norm, 1.0), empty], 1)


def _gaussian(rows: Tensor, width: float | None) -> Tensor:
    if width is None or not width > 0:
        raise ValueError(f"width must be positive for the Gaussian kernel, got {width}")
    if len(rows) > LARGEST:
        raise ValueError(
            f"the Gaussian kernel holds all pairs: samples must be at most {LARGEST}, "
            f"got {len(rows)}; take fewer, or the cosine kernel"
        )
    distance = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-0.5 * (distance / width).square())
