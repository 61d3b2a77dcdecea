"""A restricted Boltzmann machine some of whose visible units are held fast."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.tempered import State, softplus

__all__ = ["Clamped"]


@dataclass(frozen=True)
class Clamped:
    """The densities of the free units u that lead from independence to the clamped machine.

        log f_β(u) = (1 − β) b₀·u + β b·u + Σⱼ softplus(cⱼ + β aⱼ),    a = Wᵀ u

    with c the hidden biases that the held units leave, one for each chain. At β = 0 visible and
    hidden units are independent, but the hidden ones know already what is held.

    Attributes:
        weights: W, shape ``(visible, hidden)``.
        visible_bias: b.
        base_bias: b₀.
        hidden_bias: c, shape ``(chains, hidden)``.
        free: 1 where a unit is free and 0 where it is held, shape ``(chains, visible)``.
    """

    weights: Tensor
    visible_bias: Tensor
    base_bias: Tensor
    hidden_bias: Tensor
    free: Tensor

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = Σⱼ softplus(cⱼ) + Σ_free softplus(b₀ᵢ) of each chain, in float64."""
        visible = self.free.double() @ softplus(self.base_bias.double())
        return softplus(self.hidden_bias.double()).sum(1) + visible

    def at(self, free_units: Tensor) -> State:
        """The state of these units, which are 0 where a unit is held."""
        return State(free_units, free_units @ self.weights)

    def start(self, num_chains: int) -> State:
        """Draws at β = 0; one for each chain, of which there are as many as rows of ``free``."""
        return self.at(bernoulli(self.base_bias.sigmoid().expand(num_chains, -1)) * self.free)

    def log_density(self, state: State, beta: float) -> Tensor:
        """Log f_β of each chain, in float64."""
        bias = torch.lerp(self.base_bias, self.visible_bias, beta)
        hidden = softplus(self.hidden_bias + beta * state.activation)
        return (state.visible @ bias).double() + hidden.sum(1, dtype=torch.float64)

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(u) − log f_low(u), summed in float64."""
        difference = softplus(self.hidden_bias + high * state.activation)
        difference = difference - softplus(self.hidden_bias + low * state.activation)
        linear = state.visible @ (self.visible_bias - self.base_bias)
        return difference.sum(1, dtype=torch.float64).add_(linear, alpha=high - low)

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: all hidden units, then the free ones."""
        hidden = bernoulli((self.hidden_bias + beta * state.activation).sigmoid_())
        bias = torch.lerp(self.base_bias, self.visible_bias, beta)
        field = torch.addmm(bias, hidden, self.weights.T, alpha=beta)
        return self.at(bernoulli(field.sigmoid_()) * self.free)
