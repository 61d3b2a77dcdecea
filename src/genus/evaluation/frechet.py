"""The Fréchet distance between two sets of features (Heusel et al. 2017), in float64.

    d² = |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁^½ Σ₂ Σ₁^½)^½

With any roots Σ = RᵀR the last trace is the sum of the singular values of R₁R₂ᵀ: the
eigenvalues of the symmetric form Σ₁^½ Σ₂ Σ₁^½ are their squares. The trace is therefore real
and never negative, needs no square root of a rounded eigenvalue, and holds for fewer samples
than features, where R is the centred samples themselves.
"""

import warnings
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.figure import Figure

__all__ = ["FEWEST_SAMPLES", "Moments", "frechet_distance", "frechet_figure"]

FEWEST_SAMPLES = 2048
"""Below this many samples the distance is far above its limit: compare it with its floor only."""


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features; the covariance as a root R with Σ = RᵀR.

    Attributes:
        mean: shape ``(feature,)``, float64.
        root: shape ``(row, feature)``, float64.
        num_samples: how many samples they come from; 0 where they are known exactly.
    """

    mean: Float[Tensor, " feature"]
    root: Float[Tensor, "row feature"]
    num_samples: int = 0

    @classmethod
    def of(cls, features: Float[Tensor, "sample feature"]) -> Self:
        """The sample mean and the unbiased sample covariance.

        Raises:
            ValueError: for fewer than two samples, or where one is not finite.
        """
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(
                "features must have shape (sample, feature) with at least 2 samples, "
                f"got {tuple(features.shape)}"
            )
        values = features.detach().cpu().double()
        if not bool(torch.isfinite(values).all()):
            raise ValueError("features hold NaN or infinite numbers; look at the samples first")
        mean = values.mean(0)
        root = (values - mean) / (len(values) - 1) ** 0.5
        if len(root) > root.shape[1]:
            root = torch.linalg.qr(root, mode="r").R
        return cls(mean, root, len(values))

    @classmethod
    def known(cls, mean: Tensor, covariance: Float[Tensor, "feature feature"]) -> Self:
        """A Gaussian whose mean and covariance are given."""
        values, vectors = torch.linalg.eigh(covariance.double())
        return cls(mean.double(), (vectors * values.clamp_min(0).sqrt()).T)


def frechet_distance(first: Moments, second: Moments) -> float:
    """The squared Fréchet distance of two Gaussians, what the literature calls FID."""
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"{len(first.mean)} features against {len(second.mean)}; "
            "both sets must pass through the same feature network"
        )
    common = torch.linalg.svdvals(first.root @ second.root.T).sum()
    shift = (first.mean - second.mean).square().sum()
    spread = first.root.square().sum() + second.root.square().sum()
    return max(0.0, float(shift + spread - 2 * common))


def frechet_figure(
    samples: Tensor, reference: Moments, *, resamples: int = 20, seed: int = 0, warn: bool = True
) -> Figure:
    """The distance of samples' features from a reference, with a bootstrap standard error.

    Args:
        samples: features, shape ``(sample, feature)``.
        reference: of real data.
        resamples: bootstrap draws behind the standard error; 0 leaves it out.
        seed: of the bootstrap.
        warn: whether to warn where there are too few samples to compare with other figures.

    Returns:
        The distance; its note says where samples are too few.
    """
    moments = Moments.of(samples)
    note = ""
    if len(samples) < FEWEST_SAMPLES:
        note = f"{len(samples)} samples, below {FEWEST_SAMPLES}: compare with the floor only"
        if warn:
            warnings.warn(f"FID of {note}", UserWarning, stacklevel=2)
    generator = torch.Generator().manual_seed(seed)
    draws = [
        frechet_distance(
            Moments.of(
                samples[torch.randint(0, len(samples), (len(samples),), generator=generator)]
            ),
            reference,
        )
        for _ in range(resamples)
    ]
    error = float(torch.tensor(draws).std()) if resamples > 1 else None
    return Figure(frechet_distance(moments, reference), "~", error, len(samples), note)
