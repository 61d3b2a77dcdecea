"""Gaussian entries with a learnt variance."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.head import Head, at_least_float32

__all__ = ["Gaussian"]


class Gaussian(Head):
    """x ~ N(μ, σ²) with σ = softplus(s) + floor.

    The floor keeps a density from growing without limit on data that repeat a value.

    Args:
        floor: smallest standard deviation, in the units of the data.
    """

    num_parameters = 2

    def __init__(self, floor: float = 1e-3) -> None:
        if not floor > 0:
            raise ValueError(f"floor must be positive, got {floor}")
        self.floor = floor

    def _moments(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = at_least_float32(parameters).unbind(1)
        return mean, F.softplus(raw) + self.floor

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """−½ ((x − μ)/σ)² − log σ − ½ log 2π."""
        mean, scale = self._moments(parameters)
        return -0.5 * ((x - mean) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)

    def sample(self, parameters: Tensor) -> Tensor:
        """μ + σ ε."""
        mean, scale = self._moments(parameters)
        return mean + scale * torch.randn_like(mean)

    def mean(self, parameters: Tensor) -> Tensor:
        """μ."""
        return self._moments(parameters)[0]
