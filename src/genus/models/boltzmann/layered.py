"""Layers of binary units, each joined to the next: what they send, mean field, and sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from genus.inference.enumerate import MOST_UNITS, log_sum_pairs
from genus.inference.gibbs import bernoulli
from genus.inference.products import lowered, plus_product
from genus.models.boltzmann.joined import states
from genus.models.boltzmann.tempered import softplus

__all__ = ["EVEN", "ODD", "Layered", "Slopes"]

EVEN, ODD = 0, 1
TOLERANCE = 1e-6

Slopes = tuple[list[Tensor], list[Tensor]]
"""For every W and every b, how fast a number rises with it."""


@dataclass(frozen=True)
class Layered:
    """A machine of layers h₀, …, h_L, of which only neighbours are joined.

        E(h) = −Σₗ hₗ₋₁ᵀ Wₗ hₗ − Σₗ bₗ·hₗ

    The graph is bipartite: given all even layers the units of the odd ones are independent, and
    the other way round. A side is ``EVEN`` (h₀, h₂, …) or ``ODD`` (h₁, h₃, …).

    Attributes:
        weights: W₁, …, W_L, of shape ``(below, above)``.
        biases: b₀, …, b_L, each of shape ``(units,)``, or ``(batch, units)`` where they differ.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    def side(self, parity: int) -> range:
        """The numbers of the layers of a side."""
        return range(parity, len(self.biases), 2)

    def field(
        self,
        units: Sequence[Tensor | None],
        layer: int,
        *,
        scale: float = 1.0,
        bias: Tensor | None = None,
    ) -> Float[Tensor, "batch units"]:
        """What a layer is sent: b + scale · (h_below W + W h_above); p(h = 1 | others) = σ of it.

        Args:
            units: of all layers; only the neighbours are looked at.
            layer: which one.
            scale: of what the neighbours send.
            bias: in place of the layer's own.
        """
        total = self.biases[layer] if bias is None else bias
        below = units[layer - 1] if layer else None
        above = units[layer + 1] if layer + 1 < len(units) else None
        if below is not None:
            total = plus_product(total, below, self.weights[layer - 1], scale)
        if above is not None:
            total = plus_product(total, above, self.weights[layer].T, scale)
        return total.to(self.biases[0].dtype)

    def lowered(self) -> Self:
        """The same, its weights in the precision that products have now, without a history."""
        return type(self)([lowered(weight) for weight in self.weights], self.biases)

    def given(self, x: Float[Tensor, "batch visible"]) -> Self:
        """The machine of h₁, …, h_L that h₀ = x leaves: b₁ becomes b₁ + xW₁, for each datum."""
        first = plus_product(self.biases[1], x, self.weights[0]).to(x.dtype)
        return type(self)(self.weights[1:], [first, *self.biases[2:]])

    def rows(self, index: Tensor) -> Self:
        """The machine of some data, where biases differ from datum to datum."""
        biases = [b[index] if b.ndim > 1 else b for b in self.biases]
        return type(self)(self.weights, biases)

    def energy(self, units: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """E of all units; for means of independent units, its mean."""
        total = -(self.biases[0] * units[0]).sum(1)
        for layer in range(1, len(units)):
            sent = plus_product(self.biases[layer], units[layer - 1], self.weights[layer - 1])
            total = total - (sent.to(total.dtype) * units[layer]).sum(1)
        return total

    def fields(self, units: Sequence[Tensor | None], parity: int) -> list[Tensor]:
        """What the layers of a side are sent."""
        return [self.field(units, layer) for layer in self.side(parity)]

    def log_marginal_at(
        self, units: Sequence[Tensor | None], kept: int, fields: Sequence[Tensor]
    ) -> Float[Tensor, " batch"]:
        """Log Σ exp(−E) over all states of the side that is not kept, its fields being known."""
        total = torch.stack([softplus(field).sum(1) for field in fields]).sum(0)
        for layer in self.side(kept):
            here = units[layer]
            assert here is not None
            total = total + (self.biases[layer] * here).sum(1)
        return total

    def log_marginal(self, units: Sequence[Tensor | None], kept: int) -> Float[Tensor, " batch"]:
        """Log Σ exp(−E) over all states of the side that is not kept."""
        return self.log_marginal_at(units, kept, self.fields(units, 1 - kept))

    def rise(self, given: "Layered") -> list[Float[Tensor, "batch units"]]:
        """Means of h₁, …, h_L in one pass up, where what is below stands in for what is above.

        All layers but the top count what they are sent twice (Salakhutdinov & Hinton 2009).

        Args:
            given: the machine that the data leave.
        """
        units = [(2.0 * given.biases[0] - self.biases[1]).sigmoid_()]
        for layer in range(1, len(given.biases)):
            times = 2.0 if layer < len(given.weights) else 1.0
            below: list[Tensor | None] = [*units, None, None]
            units.append(given.field(below, layer, scale=times).sigmoid_())
        return units

    def sweep(self, means: Sequence[Tensor], order: Sequence[int] = (ODD, EVEN)) -> list[Tensor]:
        """Mean field m ← σ(field), side by side in this order.

        Given one side the other's means are the best there are, as no two of its units are
        joined: coordinate ascent, by which ``bound`` never falls.
        """
        means = list(means)
        for parity in order:
            for layer, field in zip(self.side(parity), self.fields(means, parity), strict=True):
                means[layer] = field.sigmoid_()
        return means

    def settle(
        self, means: Sequence[Tensor], num_sweeps: int, tolerance: float
    ) -> list[Float[Tensor, "batch units"]]:
        """Mean field for each datum until no mean moves by more than a tolerance.

        Data that have settled leave the batch, so that none depends on its neighbours.
        """
        found = [mean.clone() for mean in means]
        rows = torch.arange(len(means[0]), device=means[0].device)
        machine, means = self, list(means)
        for _ in range(num_sweeps):
            after = machine.sweep(means)
            moved = [(a - m).abs().amax(1) for a, m in zip(after, means, strict=True)]
            for kept, mean in zip(found, after, strict=True):
                kept[rows] = mean
            going = (torch.stack(moved).amax(0) > tolerance).nonzero().squeeze(1)
            if len(going) == 0:
                break
            rows, machine = rows[going], machine.rows(going)
            means = [mean[going] for mean in after]
        return found

    def explain(
        self, x: Float[Tensor, "batch visible"], num_sweeps: int
    ) -> list[Float[Tensor, "batch units"]]:
        """Means of h₁, …, h_L given h₀ = x: a pass up, then mean field until it settles."""
        given = self.given(x)
        return given.settle(self.rise(given), num_sweeps, TOLERANCE)

    def bound(self, means: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """−⟨E⟩ + H of independent units with these means: at most log Σ exp(−E)."""
        entropy = [torch.special.entr(m).sum(1) + torch.special.entr(1 - m).sum(1) for m in means]
        return torch.stack(entropy).sum(0) - self.energy(means)

    def log_weights(
        self, means: Sequence[Tensor], num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Log Σ exp(−E) / q over the larger side, the smaller drawn from independent units.

        Args:
            means: of the layers, from which the log odds of the smaller side follow.
            num_samples: for each row.
        """
        side = self.smaller_side()
        index = torch.arange(len(means[0]), device=means[0].device).repeat_interleave(num_samples)
        units: list[Tensor | None] = [None] * len(means)
        log_q = means[0].new_zeros(())
        with torch.no_grad():
            for layer in self.side(side):
                odds = self.field(means, layer)[index]
                drawn = bernoulli(odds.sigmoid())
                units[layer] = drawn
                log_q = log_q + (drawn * odds - softplus(odds)).sum(1)
        log_weights = self.rows(index).log_marginal(units, side) - log_q
        return log_weights.reshape(-1, num_samples)

    def smaller_side(self) -> int:
        """The side of fewer units."""
        sizes = [sum(self.biases[layer].shape[-1] for layer in self.side(p)) for p in (EVEN, ODD)]
        return EVEN if sizes[EVEN] < sizes[ODD] else ODD

    def _across(self) -> tuple[Tensor, Tensor, Tensor, list[list[slice]]]:
        """All couplings as one matrix, near × far, the biases of both, and each layer's place."""
        near = self.smaller_side()
        biases, places = [], []
        for parity in (near, 1 - near):
            layers = [self.biases[layer] for layer in self.side(parity)]
            ends = torch.tensor([0, *(len(b) for b in layers)]).cumsum(0).tolist()
            places.append([slice(a, b) for a, b in pairwise(ends)])
            biases.append(torch.cat(layers).double())
        matrix = biases[0].new_zeros(len(biases[0]), len(biases[1]))
        for layer, weight in enumerate(self.weights):
            below_near = layer % 2 == near
            first, second = (layer, layer + 1) if below_near else (layer + 1, layer)
            block = weight if below_near else weight.T
            matrix[places[0][first // 2], places[1][second // 2]] = block.double()
        return matrix, biases[0], biases[1], places

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        """Log Z by a sum over all states of the smaller side, in float64.

        Raises:
            ValueError: where that has more than 25 units.
        """
        matrix, near, far, _ = self._across()
        if len(near) > MOST_UNITS:
            raise ValueError(
                f"an exact log Z needs a side of at most {MOST_UNITS} units, this machine has "
                f"{len(near)} and {len(far)}; use log_partition()"
            )
        return log_sum_pairs(matrix, near, far)

    @torch.no_grad()
    def slopes(self, log_partition: Tensor) -> Slopes:
        """∂ log Z / ∂W = E[hₗ₋₁ hₗᵀ] and ∂ log Z / ∂b = E[hₗ], by the same sum."""
        matrix, near, far, places = self._across()
        products, means = torch.zeros_like(matrix), [torch.zeros_like(near), torch.zeros_like(far)]
        for rows in states(len(near), near.device):
            activation = torch.addmm(far, rows, matrix)
            p = (rows @ near + softplus(activation).sum(1) - log_partition).exp().unsqueeze(1)
            weighed = p * activation.sigmoid()
            products += rows.T @ weighed
            means[0] += (p * rows).sum(0)
            means[1] += weighed.sum(0)
        parity = self.smaller_side()
        biases = [
            means[(layer - parity) % 2][places[(layer - parity) % 2][layer // 2]]
            for layer in range(len(self.biases))
        ]
        weights = []
        for layer in range(len(self.weights)):
            below_near = layer % 2 == parity
            first, second = (layer, layer + 1) if below_near else (layer + 1, layer)
            block = products[places[0][first // 2], places[1][second // 2]]
            weights.append(block if below_near else block.T)
        return weights, biases
