"""The path from independent visible units to a restricted Boltzmann machine."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.inference.gibbs import bernoulli

__all__ = ["State", "Tempered", "softplus"]


def softplus(x: Tensor) -> Tensor:
    """Log(1 + eˣ), linear from 30 on, where the difference is below 10⁻¹³."""
    return F.softplus(x, threshold=30.0)


class State(NamedTuple):
    """Visible units and what they send to the hidden ones: a = c + W v, before β."""

    visible: Tensor
    activation: Tensor


@dataclass(frozen=True)
class Tempered:
    """The densities that lead from a base-rate model to the machine (Salakhutdinov & Murray 2008).

        log f_β(v) = (1 − β) b₀·v + β b·v + Σⱼ softplus(β aⱼ),    a = c + W v

    Attributes:
        weights: W, shape ``(visible, hidden)``.
        visible_bias: b.
        hidden_bias: c.
        base_bias: b₀, the log odds of each visible unit at β = 0.
    """

    weights: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    base_bias: Tensor

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = H log 2 + Σᵢ softplus(b₀ᵢ), in float64."""
        return len(self.hidden_bias) * math.log(2) + softplus(self.base_bias.double()).sum()

    def at(self, visible: Tensor) -> State:
        """The state of these visible units."""
        product = torch.addmm(self.hidden_bias, visible, self.weights)
        return State(visible, product.to(self.weights.dtype))

    def start(self, num_chains: int) -> State:
        """Draws from the base-rate model."""
        return self.at(bernoulli(self.base_bias.sigmoid().expand(num_chains, -1)))

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(v) − log f_low(v), summed in float64."""
        difference = softplus(high * state.activation).sub_(softplus(low * state.activation))
        linear = state.visible @ (self.visible_bias - self.base_bias)
        return difference.sum(1, dtype=torch.float64).add_(linear, alpha=high - low)

    def draw(self, state: State, beta: float) -> Tensor:
        """All hidden units, then all visible ones, which are returned."""
        hidden = bernoulli((beta * state.activation).sigmoid_())
        bias = torch.lerp(self.base_bias, self.visible_bias, beta)
        field = torch.addmm(bias, hidden, self.weights.T, alpha=beta)
        return bernoulli(field.to(self.weights.dtype).sigmoid_())

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: reversible for v, and leaves f_β unchanged."""
        return self.at(self.draw(state, beta))
