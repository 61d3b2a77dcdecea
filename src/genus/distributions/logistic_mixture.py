"""Mixtures of logistics, cut into levels (Salimans et al. 2017) or left continuous."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.head import Head, at_least_float32
from genus.spaces import Numeric

__all__ = ["LogisticMixture"]

LEAST_LOG_SCALE, MOST_LOG_SCALE = -7.0, 7.0


class LogisticMixture(Head):
    """Σ_k π_k Logistic(μ_k, s_k) on the line where the levels of the space lie in [−1, 1].

    Over levels, each one takes the mass of its bin, and the two outermost bins reach to
    infinity, so that the levels' probabilities sum to one. Over reals it is a density.

    Args:
        space: of the data.
        num_mixtures: K.
    """

    def __init__(self, space: Numeric, num_mixtures: int = 5) -> None:
        if num_mixtures < 1:
            raise ValueError(f"num_mixtures must be at least 1, got {num_mixtures}")
        self.space = space
        self.num_mixtures = num_mixtures
        self.num_parameters = 3 * num_mixtures

    def _mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log π, μ and log s, each of shape (batch, num_mixtures, *shape)."""
        logits, means, log_scales = at_least_float32(parameters).chunk(3, dim=1)
        return logits.log_softmax(1), means, log_scales.clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log of each level's mass, or of the density."""
        log_weights, means, log_scales = self._mixture(parameters)
        value = self.space.to_real(x.to(means.dtype)).unsqueeze(1)
        if self.space.levels is None:
            scaled = (value - means) * (-log_scales).exp()
            inside = -scaled - log_scales - 2 * F.softplus(-scaled)
        else:
            inside = self._log_mass(value, means, log_scales, self.space.levels)
        return torch.logsumexp(log_weights + inside, dim=1)

    @staticmethod
    def _log_mass(value: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
        """log of the logistic's mass in the bin around ``value``.

        With a below b the edges in units of the scale,
        σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}), whose logarithm loses no digits.
        """
        half = 1.0 / (levels - 1)
        inverse = (-log_scales).exp()
        above, below = (value - means + half) * inverse, (value - means - half) * inverse
        width = 2 * half * inverse
        middle = F.logsigmoid(above) + F.logsigmoid(-below) + (-torch.expm1(-width)).log()
        lowest, highest = value < half - 1.0, value > 1.0 - half
        return torch.where(
            lowest, F.logsigmoid(above), torch.where(highest, F.logsigmoid(-below), middle)
        )

    def sample(self, parameters: Tensor) -> Tensor:
        """Picks a component, then inverts its distribution function."""
        log_weights, means, log_scales = self._mixture(parameters)
        noise = torch.empty_like(log_weights).exponential_().log()
        chosen = (log_weights - noise).argmax(1, keepdim=True)
        mean = means.gather(1, chosen).squeeze(1)
        scale = log_scales.gather(1, chosen).squeeze(1).exp()
        uniform = torch.rand_like(mean).clamp(1e-6, 1 - 1e-6)
        return self.space.from_real(mean + scale * uniform.logit())

    def mean(self, parameters: Tensor) -> Tensor:
        """Σ π_k μ_k in the units of the space (before the levels are cut, clamped to them)."""
        log_weights, means, _ = self._mixture(parameters)
        value = (log_weights.exp() * means).sum(1)
        if self.space.levels is None:
            return value
        return (value.clamp(-1, 1) + 1) * (0.5 * (self.space.levels - 1))
