"""Real-valued units."""

import math
from typing import final

import torch
from torch import Tensor, nn

from genus.distributions.odds import described
from genus.models.boltzmann.units import Units

__all__ = ["Gaussian"]


@final
class Gaussian(Units):
    """Reals of mean f and variance σ², with the statistic x / σ² (Cho, Raiko & Ilin 2011).

        E(x) = Σ (x − b)² / (2σ²)        A(f) = f² / (2σ²) + ½ log 2πσ²

    The variance is learnt as log σ², or is 1: for hidden units any other would be a rescaling
    of their weights and biases.

    Args:
        num_units: of learnt variance; None for units of variance 1.
    """

    num_values = None

    def __init__(self, num_units: int | None = None) -> None:
        super().__init__()
        start = None if num_units is None else torch.zeros(num_units)
        self.log_variance = None if start is None else nn.Parameter(start)
        self.register_buffer("base_log_variance", None if start is None else start.clone())
        self.base_log_variance: Tensor | None

    def precision(self, like: Tensor) -> Tensor:
        """1 / σ² of each unit, in the dtype of ``like``."""
        width = self.log_variance
        return like.new_ones(()) if width is None else (-width.to(like)).exp()

    def _base_precision(self, like: Tensor) -> Tensor:
        width = self.base_log_variance
        return like.new_ones(()) if width is None else (-width.to(like)).exp()

    @torch.no_grad()
    def set_variance(self, variance: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Sets σ² and that of the base, and returns the ratio of every σ to what it was.

        Raises:
            ValueError: where the variance is not positive or does not fit.
        """
        given = torch.as_tensor(variance)
        if self.log_variance is None or self.base_log_variance is None:
            raise ValueError("these Gaussian units have variance 1, which cannot be set")
        if given.shape != shape or not bool(((given > 0) & given.isfinite()).all()):
            raise ValueError(
                f"variance must have shape {shape} and positive entries; got "
                f"{described(given)}; drop constant entries, or add the variance of their noise"
            )
        before = self.log_variance.clone()
        for width in (self.log_variance, self.base_log_variance):
            width.copy_(given.to(width).log().flatten())
        return (0.5 * (self.log_variance - before)).exp()

    def width(self, num_units: int) -> int:
        """One entry each."""
        return num_units

    def states(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def values(self, entries: Tensor) -> Tensor:
        """The entries themselves."""
        return entries

    def spread_mask(self, mask: Tensor) -> Tensor:
        """The mask itself."""
        return mask

    def statistic(self, x: Tensor) -> Tensor:
        """x / σ²."""
        return x if self.log_variance is None else x * self.precision(x)

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """Σ (x − b)² / (2σ²)."""
        return 0.5 * ((x - bias).square() * self.precision(x)).sum(-1)

    def ground(self, bias: Tensor) -> Tensor:
        """b² / (2σ²)."""
        return 0.5 * bias.square() * self.precision(bias)

    def log_partition(self, field: Tensor) -> Tensor:
        """f² / (2σ²) + ½ log 2πσ²."""
        precision = self.precision(field)
        return 0.5 * (field.square() * precision - (precision / (2 * math.pi)).log())

    def mean(self, field: Tensor) -> Tensor:
        """f."""
        return field

    @torch.no_grad()
    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """The field itself, and Σ A(f)."""
        return field, self.log_partition(field).sum(-1)

    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """f + σ ε."""
        mean = field.detach()
        noise = torch.randn_like(mean)
        return mean + noise * self.precision(mean).detach().rsqrt()

    def variance_of(self, weights: Tensor, field: Tensor) -> Tensor:
        """Σⱼ wⱼ² σⱼ²."""
        return (weights.square() / self.precision(weights)).sum(1).expand(len(field), -1)

    def gain(self, x: Tensor, base_bias: Tensor, bias: Tensor) -> Tensor:
        """x² (1/σ₀² − 1/σ²) / 2 + x (b/σ² − b₀/σ₀²)."""
        base, now = self._base_precision(x), self.precision(x)
        terms = x * (0.5 * x * (base - now) + (bias * now - base_bias * base))
        return terms.sum(-1, dtype=torch.float64)

    def log_base_partition(self, base_bias: Tensor) -> Tensor:
        """b₀² / (2σ₀²) + ½ log 2πσ₀²."""
        bias = base_bias.double()
        precision = self._base_precision(bias)
        return 0.5 * (bias.square() * precision - (precision / (2 * math.pi)).log())

    def draw_at(
        self, beta: float, base_bias: Tensor, bias: Tensor, weights: Tensor, other: Tensor
    ) -> Tensor:
        """With precision τ = (1 − β)/σ₀² + β/σ² and mean ((1 − β) b₀/σ₀² + β (b + W y)/σ²) / τ."""
        base, now = self._base_precision(bias), self.precision(bias)
        total = torch.lerp(base, now, beta)
        mean = torch.lerp(base_bias * base, bias * now, beta) / total
        sent = torch.mm(other.to(weights.dtype), weights.T).to(bias.dtype)
        noise = torch.randn_like(sent) * total.rsqrt()
        return (mean + sent * (beta * now / total) + noise).detach()

    def bias_for(self, mean: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The mean itself."""
        given = torch.as_tensor(mean).to(like)
        if given.shape != shape or not bool(given.isfinite().all()):
            raise ValueError(
                f"mean must have shape {shape} and finite entries; got {described(given)}"
            )
        return given.flatten()
