"""The path from independent visible units to a restricted Boltzmann machine."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from genus.inference.annealing import Annealed
from genus.inference.products import plus_product
from genus.models.boltzmann.units import Bernoulli, Units, softplus

__all__ = ["BINARY", "State", "Tempered", "softplus"]

BINARY = Bernoulli()


class State(NamedTuple):
    """Visible units and what they send to the hidden ones: a = c + s(v) W, before β."""

    visible: Tensor
    activation: Tensor


@dataclass(frozen=True)
class Tempered:
    """The densities that lead from a base-rate model to the machine (Salakhutdinov & Murray 2008).

        log f_β(v) = −(1 − β) E₀(v) − β E₁(v) + Σⱼ Aⱼ(β aⱼ),    a = c + s(v) W

    For binary units log f_β(v) = (1 − β) b₀·v + β b·v + Σⱼ softplus(β aⱼ). The energies of the
    visible units by themselves come without their ground, see
    :class:`~genus.models.boltzmann.units.Units`.

    Attributes:
        weights: W, shape ``(visible, hidden)``.
        visible_bias: b.
        hidden_bias: c.
        base_bias: b₀, that of each visible unit at β = 0.
        visible_units: their kind.
        hidden_units: their kind.
    """

    weights: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    base_bias: Tensor
    visible_units: Units = BINARY
    hidden_units: Units = BINARY

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = Σⱼ Aⱼ(0) + Σᵢ Aᵢ(b₀ᵢ), in float64; H log 2 + Σᵢ softplus(b₀ᵢ) if binary."""
        hidden = self.hidden_units.log_partition(torch.zeros_like(self.hidden_bias.double()))
        return hidden.sum() + self.visible_units.log_base_partition(self.base_bias).sum()

    def with_weights(self, weights: Tensor) -> "Tempered":
        """The same with weights that were cast to another precision."""
        return replace(self, weights=weights)

    def at(self, visible: Tensor) -> State:
        """The state of these visible units."""
        statistic = self.visible_units.statistic(visible)
        sent = plus_product(self.hidden_bias, statistic, self.weights)
        return State(visible, sent.to(self.hidden_bias.dtype))

    def start(self, num_chains: int) -> State:
        """Draws from the base-rate model."""
        none = self.hidden_bias.new_zeros(num_chains, self._num_hidden)
        return self.at(self._visible_at(0.0, none))

    @property
    def _num_hidden(self) -> int:
        return self.weights.shape[1]

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(v) − log f_low(v), summed in float64."""
        log_partition = self.hidden_units.log_partition
        difference = log_partition(high * state.activation)
        difference = difference.sub_(log_partition(low * state.activation))
        linear = self.visible_units.gain(state.visible, self.base_bias, self.visible_bias)
        return difference.sum(1, dtype=torch.float64).add_(linear, alpha=high - low)

    def _visible_at(self, beta: float, hidden: Tensor) -> Tensor:
        biases = (self.base_bias, self.visible_bias)
        return self.visible_units.draw_at(beta, *biases, self.weights, hidden)

    def draw(self, state: State, beta: float) -> Tensor:
        """All hidden units, then all visible ones, which are returned."""
        return self._visible_at(beta, self.hidden_units.draw(beta * state.activation, inplace=True))

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: reversible for v, and leaves f_β unchanged."""
        return self.at(self.draw(state, beta))

    def partition(self, ratio: Annealed) -> Annealed:
        """Log Z₁ from log Z₁/Z₀, with the energy of the textbooks."""
        base = self.log_base_partition
        base = base - self.visible_units.ground(self.visible_bias.double()).sum()
        return ratio._replace(value=base + ratio.value, bound=base + ratio.bound)
