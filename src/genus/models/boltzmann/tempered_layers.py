"""The path from independent units to a machine of layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.layered import Layered
from genus.models.boltzmann.tempered import softplus

__all__ = ["Held", "State", "TemperedLayers"]


class State(NamedTuple):
    """The layers of the side that is kept, and what they send to the others, before β.

    Attributes:
        units: of the kept side; None for the other layers.
        sent: to the other layers; None for those that are kept.
    """

    units: list[Tensor | None]
    sent: list[Tensor | None]


class Held(NamedTuple):
    """Visible units that are held fast: which, and at what, shape ``(chains, visible)``."""

    observed: Tensor
    values: Tensor


@dataclass(frozen=True)
class TemperedLayers:
    """The densities that lead from independent units to a machine, one side summed out.

        log f_β(k) = Σₗ bₗ(β)·kₗ + Σₘ softplus(bₘ(β) + β sₘ)        b(β) = (1 − β) b(0) + β b

    with k the layers of the kept side, s what they send, and m the layers of the other: sums
    over more units leave weights of annealing that vary less (Salakhutdinov & Hinton 2009, who
    keep h₁). The products are those of the couplings there are, layer by layer.

    Attributes:
        layers: the machine.
        start_biases: b(0) of every layer.
        kept: the side that is not summed out.
        held: visible units that do not move.
    """

    layers: Layered
    start_biases: Sequence[Tensor]
    kept: int
    held: Held | None = None

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = Σ softplus(b(0)) over all units, in float64."""
        return torch.stack([softplus(b.double()).sum() for b in self.start_biases]).sum()

    def _bias(self, layer: int, beta: float) -> Tensor:
        return torch.lerp(self.start_biases[layer], self.layers.biases[layer], beta)

    def _drawn(self, odds: Tensor, layer: int) -> Tensor:
        """Units of these log odds, which are overwritten."""
        units = bernoulli(odds.sigmoid_())
        if layer == 0 and self.held is not None:
            return torch.where(self.held.observed, self.held.values, units)
        return units

    def at(self, units: Sequence[Tensor | None]) -> State:
        """The state of these layers."""
        parities = [layer % 2 == self.kept for layer in range(len(units))]
        kept = [unit if mine else None for unit, mine in zip(units, parities, strict=True)]
        sent = [None if mine else self._sent(kept, layer) for layer, mine in enumerate(parities)]
        return State(kept, sent)

    def _sent(self, units: Sequence[Tensor | None], layer: int) -> Tensor:
        return self.layers.field(units, layer, bias=torch.zeros_like(self.layers.biases[layer]))

    def start(self, num_chains: int) -> State:
        """Draws of independent units."""
        odds = [b.expand(num_chains, -1).clone() for b in self.start_biases]
        return self.at([self._drawn(odd, layer) for layer, odd in enumerate(odds)])

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(k) − log f_low(k), summed in float64."""
        total = torch.zeros((), dtype=torch.float64, device=self.start_biases[0].device)
        for layer, (units, sent) in enumerate(zip(*state, strict=True)):
            if units is not None:
                slope = self.layers.biases[layer] - self.start_biases[layer]
                total = total + (high - low) * (units @ slope).double()
            if sent is not None:
                above = softplus(torch.add(self._bias(layer, high), sent, alpha=high))
                below = softplus(torch.add(self._bias(layer, low), sent, alpha=low))
                total = total + above.sub_(below).sum(1, dtype=torch.float64)
        return total

    def draw(self, state: State, beta: float) -> list[Tensor]:
        """All units of the other side, then all of the kept one; every layer is returned."""
        units: list[Tensor | None] = [None] * len(state.units)
        for layer, sent in enumerate(state.sent):
            if sent is not None:
                odds = torch.add(self._bias(layer, beta), sent, alpha=beta)
                units[layer] = self._drawn(odds, layer)
        drawn = list(units)
        for layer in self.layers.side(self.kept):
            odds = self.layers.field(units, layer, scale=beta, bias=self._bias(layer, beta))
            drawn[layer] = self._drawn(odds, layer)
        return [unit for unit in drawn if unit is not None]

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: reversible for k, and leaves f_β unchanged."""
        return self.at(self.draw(state, beta))

    def climb(self, num_chains: int, num_steps: int) -> list[Tensor]:
        """All layers after half of the steps up the path, and half at β = 1."""
        rising = num_steps // 2
        betas = [(step + 1) / (rising + 1) for step in range(rising)]
        state = self.start(num_chains)
        for beta in betas + [1.0] * (num_steps - rising - 1):
            state = self.move(state, beta)
        return self.draw(state, 1.0)
