"""A restricted Boltzmann machine some of whose visible units are held fast."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genus.inference.annealing import annealed_importance
from genus.models.boltzmann.tempered import BINARY, State, Tempered
from genus.models.boltzmann.units import Units

__all__ = ["Clamped", "annealed_partition", "holding"]


@dataclass(frozen=True)
class Clamped:
    """The densities of the free units u that lead from independence to the clamped machine.

        log f_β(u) = −(1 − β) E₀(u) − β E₁(u) + Σⱼ Aⱼ(cⱼ + β aⱼ),    a = s(u) W

    with c the hidden biases that the held units leave, one for each chain, and the energies of
    the free units without their ground. At β = 0 visible and hidden units are independent, but
    the hidden ones know already what is held.

    Attributes:
        weights: W, shape ``(visible, hidden)``.
        visible_bias: b.
        base_bias: b₀.
        hidden_bias: c, shape ``(chains, hidden)``.
        free: 1 where a unit is free and 0 where it is held, shape ``(chains, visible units)``.
        visible_units: their kind.
        hidden_units: their kind.
    """

    weights: Tensor
    visible_bias: Tensor
    base_bias: Tensor
    hidden_bias: Tensor
    free: Tensor
    visible_units: Units = BINARY
    hidden_units: Units = BINARY

    @property
    def _free_entries(self) -> Tensor:
        return self.visible_units.spread_mask(self.free)

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = Σⱼ Aⱼ(cⱼ) + Σ_free Aᵢ(b₀ᵢ) of each chain, in float64."""
        visible = self.free.double() @ self.visible_units.log_base_partition(self.base_bias)
        return self.hidden_units.log_partition(self.hidden_bias.double()).sum(1) + visible

    def at(self, free_units: Tensor) -> State:
        """The state of these units, which are 0 where a unit is held."""
        return State(free_units, self.visible_units.statistic(free_units) @ self.weights)

    def _visible_at(self, beta: float, hidden: Tensor) -> Tensor:
        biases = (self.base_bias, self.visible_bias)
        drawn = self.visible_units.draw_at(beta, *biases, self.weights, hidden)
        return drawn * self._free_entries

    def start(self, num_chains: int) -> State:
        """Draws at β = 0; one for each chain, of which there are as many as rows of ``free``."""
        silent = self.weights.new_zeros(num_chains, self.weights.shape[1])
        return self.at(self._visible_at(0.0, silent))

    def log_density(self, state: State, beta: float) -> Tensor:
        """Log f_β of each chain, in float64."""
        units, u = self.visible_units, state.visible
        own = units.ground(self.visible_bias).sum() - units.energy(u, self.visible_bias)
        gain = units.gain(u, self.base_bias, self.visible_bias)
        hidden = self.hidden_units.log_partition(self.hidden_bias + beta * state.activation)
        return own.double() - (1.0 - beta) * gain + hidden.sum(1, dtype=torch.float64)

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(u) − log f_low(u), summed in float64."""
        log_partition = self.hidden_units.log_partition
        difference = log_partition(self.hidden_bias + high * state.activation)
        difference = difference - log_partition(self.hidden_bias + low * state.activation)
        linear = self.visible_units.gain(state.visible, self.base_bias, self.visible_bias)
        return difference.sum(1, dtype=torch.float64).add_(linear, alpha=high - low)

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: all hidden units, then the free ones."""
        field = self.hidden_bias + beta * state.activation
        return self.at(self._visible_at(beta, self.hidden_units.draw(field, inplace=True)))


def holding(path: Tempered, v: Tensor, mask: Tensor) -> Clamped:
    """The machine at the end of a path with some of its visible units held.

    Args:
        path: from independent units to the machine.
        v: entries of the visible units, shape ``(chains, visible)``.
        mask: true where a unit is held, shape ``(chains, visible units)``.
    """
    units = path.visible_units
    statistic = units.statistic(v * units.spread_mask(mask))
    held = torch.addmm(path.hidden_bias, statistic, path.weights)
    biases = (path.weights, path.visible_bias, path.base_bias)
    return Clamped(*biases, held, (~mask).to(v), units, path.hidden_units)


def annealed_partition(
    path: Clamped, num_chains: int, betas: Sequence[float]
) -> Float[Tensor, " rows"]:
    """Log ∫ f₁(u) du of every row of a path, each from so many chains of its own."""
    several = replace(
        path,
        hidden_bias=path.hidden_bias.repeat_interleave(num_chains, 0),
        free=path.free.repeat_interleave(num_chains, 0),
    )
    log_weights = annealed_importance(several, len(several.free), betas)
    log_weights = (log_weights + several.log_base_partition).reshape(-1, num_chains)
    return log_weights.logsumexp(1) - math.log(num_chains)
