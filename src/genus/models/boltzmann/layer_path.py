"""The path from independent units to a pair of layers, and the log Z that it gives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.engine.seeding import address, seeded
from genus.inference.annealing import (
    Annealed,
    annealed_importance,
    forward_ratio,
    inverse_temperatures,
    reverse_annealed_importance,
    reverse_ratio,
)
from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.kept import Kept
from genus.models.boltzmann.layer import Layer
from genus.models.boltzmann.tempered import State, softplus

__all__ = ["LayerPath", "LogPartitions", "is_summed"]

SMALL = 16


@dataclass(frozen=True)
class LayerPath:
    """Densities of u that lead from independent units to the layer, its label held fast.

        log f_β(u) = −E_β(u) + Σⱼ softplus(cⱼ + β (uᵀW)ⱼ)

    with E_β the energy of u under the bias (1 − β) b₀ + β b, and c the biases of h that the
    label leaves. At β = 0 the two sides are independent.

    Attributes:
        layer: the pair.
        hidden_bias: c, shape ``(chains, hidden)`` or ``(1, hidden)``.
    """

    layer: Layer
    hidden_bias: Tensor

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ of each row of ``hidden_bias``, in float64."""
        return softplus(self.hidden_bias.double()).sum(1) + self.layer.log_base()

    def at(self, units: Tensor) -> State:
        """The state of these units."""
        product = self.layer.sent(units) @ self.layer.unit_weights
        return State(units, product.to(self.layer.weights.dtype))

    def start(self, num_chains: int) -> State:
        """Draws at β = 0."""
        return self.at(self.layer.draw_units(self.layer.base_bias.expand(num_chains, -1)))

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(u) − log f_low(u), summed in float64."""
        difference = softplus(torch.add(self.hidden_bias, state.activation, alpha=high))
        below = softplus(torch.add(self.hidden_bias, state.activation, alpha=low))
        difference = difference.sub_(below)
        linear = state.visible @ (self.layer.unit_bias - self.layer.base_bias)
        return difference.sum(1, dtype=torch.float64).add_(linear, alpha=high - low)

    def draw(self, state: State, beta: float) -> Tensor:
        """All units of h, then all of u, which are returned."""
        hidden = bernoulli(torch.add(self.hidden_bias, state.activation, alpha=beta).sigmoid_())
        bias = torch.lerp(self.layer.base_bias, self.layer.unit_bias, beta)
        field = torch.addmm(bias, hidden, self.layer.unit_weights.T, alpha=beta)
        return self.layer.draw_units(field.to(self.layer.weights.dtype))

    def move(self, state: State, beta: float) -> State:
        """A Gibbs step at β: reversible for u, and leaves f_β unchanged."""
        return self.at(self.draw(state, beta))

    def climb(self, n: int, steps: int) -> Tensor:
        """n draws of u: half of the steps rise from β = 0, half stay at β = 1."""
        rising = steps // 2
        betas = [(step + 1) / (rising + 1) for step in range(rising)] + [1.0] * (steps - rising)
        units = self.start(n).visible
        for beta in betas:
            units = self.draw(self.at(units), beta)
        return units


def is_summed(layer: Layer) -> bool:
    """Whether log Z of a layer is a sum, over the states of a side of at most 16 units."""
    return layer.smallest_side <= SMALL


class LogPartitions:
    """Log Z of a layer, one for each label: summed or annealed once, and kept until it changes.

    Args:
        num_steps: Gibbs steps behind the draws that reverse annealing begins with.
        num_temperatures: of annealing.
        num_chains: of annealing, for each label.
    """

    def __init__(self, num_steps: int, num_temperatures: int, num_chains: int) -> None:
        self.num_steps, self.num_chains = num_steps, num_chains
        self.betas = inverse_temperatures(num_temperatures)
        self._cached = Kept()

    @torch.no_grad()
    def of(self, layer: Layer, *, reverse: bool = False) -> Annealed:
        """Log Z, each attribute of shape ``(labels,)`` or ``(1,)`` in float64.

        Exact, with errors of 0, where the smaller side that can be summed has at most 16 units.
        Draws are fixed: the answer is a function of the parameters.
        """
        way = "exact" if is_summed(layer) else "down" if reverse else "up"
        kept: Annealed = self._cached.of(
            [*layer.parameters(), layer.unit_mean],
            way,
            lambda: self._exact(layer) if way == "exact" else self._annealed(layer, way),
        )
        return kept

    def _exact(self, layer: Layer) -> Annealed:
        rows = layer.biases_of(layer.every_label())
        exact = torch.stack([layer.log_partition_exact(row) for row in rows])
        none = torch.zeros_like(exact)
        return Annealed(exact, none, exact, none)

    def _annealed(self, layer: Layer, way: str) -> Annealed:
        """All labels at once, ``num_chains`` chains for each."""
        rows = layer.biases_of(layer.every_label()).detach()
        path = LayerPath(layer, rows.repeat_interleave(self.num_chains, 0))
        count = len(path.hidden_bias)
        with seeded(address(0, way), rows.device):
            if way == "up":
                weights = annealed_importance(path, count, self.betas)
            else:
                state = path.at(path.climb(count, self.num_steps))
                weights = reverse_annealed_importance(path, state, self.betas)
        ratio = forward_ratio if way == "up" else reverse_ratio
        found = [ratio(part) for part in weights.reshape(-1, self.num_chains)]
        value, error, bound, bound_error = (torch.stack(part) for part in zip(*found, strict=True))
        base = LayerPath(layer, rows).log_base_partition
        return Annealed(base + value, error, base + bound, bound_error)
