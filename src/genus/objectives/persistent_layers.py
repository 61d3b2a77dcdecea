"""Persistent chains against mean field, for machines of layers."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genus.distributions.bernoulli import entropy
from genus.engine import Batch, Known, Remembers, State, Traceable, distributed
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.objectives.centred import centred_slopes, newest, none_seen, shares
from genus.objectives.runaway import unless_runaway

__all__ = ["Deep", "PersistentLayers", "slid"]


class Joints(Protocol):
    """Layers of binary units, each joined to the next; every second is a side, 0 or 1."""

    weights: Sequence[Tensor]

    def lowered(self) -> "Joints":
        """The same, its weights in the precision that products have now."""

    def given(self, x: Tensor) -> Any:
        """The machine of the hidden layers that the data leave."""

    def rise(self, given: Any) -> list[Tensor]:
        """Means of the hidden layers in one pass up, ``(batch, units)`` each."""

    def sweep(self, means: Sequence[Tensor], order: Sequence[int] = ...) -> list[Tensor]:
        """Mean field, side by side."""

    def fields(self, units: Sequence[Tensor | None], parity: int) -> list[Tensor]:
        """The log odds of the layers of a side given the other, ``(batch, units)`` each."""

    def log_marginal_at(
        self, units: Sequence[Tensor | None], kept: int, fields: Sequence[Tensor]
    ) -> Tensor:
        """Log Σ exp(−E) over the other side than the one that is kept, its fields being known."""


class Deep(Protocol):
    """A machine of layers, the visible one first."""

    weights: nn.ParameterList
    biases: nn.ParameterList

    def layered(self) -> Joints:
        """The layers as they are now."""


class PersistentLayers(Traceable, Remembers):
    """Data, their hidden units by mean field, against chains that go on from step to step.

    The gradient is that of the variational bound B(x) at the means m that mean field finds in
    ``num_sweeps`` sweeps from a pass up, and Younes' (1989) for log Z (Salakhutdinov & Hinton
    2009). A chain is its odd layers, h₁, h₃, …; from them come the even ones, and the means
    given those serve the gradient and draw the odd layers that are remembered. In coordinates
    centred at μ, slow averages of every layer over the data, and carried back (Montavon & Müller
    2012), with ⟨·⟩ for data less chains:

        ΔWₗ = ⟨(hₗ₋₁ − μₗ₋₁)(hₗ − μₗ)ᵀ⟩        Δbₗ = ⟨hₗ⟩ − ΔWₗᵀ μₗ₋₁ − ΔWₗ₊₁ μₗ₊₁

    Its loss is the mean of −B over the data less that of −log Σ exp(−E) over the chains' even
    layers, which says little about the likelihood.

    Args:
        num_sweeps: of mean field, at least 1.
        k: Gibbs steps between two steps of learning.
        num_chains: over all processes.
        centred: whether μ follows the data; else it stays 0.

    Raises:
        ValueError: where a number is no positive integer.
    """

    sharded = ("chains",)

    def __init__(
        self, num_sweeps: int = 5, k: int = 1, num_chains: int = 100, *, centred: bool = True
    ) -> None:
        self.num_sweeps = check_count("num_sweeps", num_sweeps)
        self.k = check_count("k", k)
        self.num_chains = check_count("num_chains", num_chains)
        self.centred = centred

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Makes room for chains and offsets, which the first batch begins."""
        self.sizes = [len(bias) for bias in model.biases[1::2]]
        room = model.biases[0].new_zeros(self.num_chains, sum(self.sizes))
        self.chains = distributed.take_rows(room)
        self.offsets = [torch.zeros_like(bias) for bias in model.biases]
        self.num_seen = none_seen(room)
        self.begun = False

    def _begin(self, seen: Sequence[Tensor]) -> None:
        """Chains begin at draws from what explains the data, row after row of them."""
        rows = torch.arange(len(self.chains), device=self.chains.device) % len(seen[0])
        self.chains = bernoulli(torch.cat([layer[rows] for layer in seen[1::2]], 1))
        self.begun = True

    def _walk(self, machine: Joints, num_layers: int) -> tuple[list[Tensor], list[Tensor]]:
        """The chains k steps on: even layers and means of the odd ones; and the odd fields."""
        units: list[Tensor | None] = [None] * num_layers
        units[1::2] = self.chains.split(self.sizes, 1)
        for _ in range(self.k):
            units[0::2] = [bernoulli(field.sigmoid_()) for field in machine.fields(units, 0)]
            fields = machine.fields(units, 1)
            means = [field.sigmoid() for field in fields]
            units[1::2] = [bernoulli(mean) for mean in means]
        self.chains = torch.cat([unit for unit in units[1::2] if unit is not None], 1)
        units[1::2] = means
        return [unit for unit in units if unit is not None], fields

    def _explain(self, machine: Joints, data: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The data and the means of the hidden layers by mean field; and the odd fields."""
        given = machine.given(data)
        means = machine.rise(given)
        for _ in range(self.num_sweeps - 1):
            means = given.sweep(means)
        means = given.sweep(means, (1,))
        fields = given.fields(means, 0)
        means[0::2] = [field.sigmoid() for field in fields]
        return [data, *means], fields

    @torch.no_grad()
    def _phases(self, model: Deep, data: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gap, and how it rises with every coupling and bias."""
        machine = model.layered().lowered()
        with torch.autocast(data.device.type, enabled=False):
            seen, odds = self._explain(machine, data)
            if not self.begun:
                self._begin(seen)
            walked, walked_odds = self._walk(machine, len(seen))
            gap = machine.log_marginal_at(walked, 0, walked_odds).mean()
            gap = gap - machine.log_marginal_at(seen, 0, odds).mean()
            for mean in seen[2::2]:
                gap = gap - entropy(mean).sum(1).mean()
            if self.centred:
                averages = [layer.mean(0) for layer in seen]
                distributed.average(averages)
                self.offsets = slid(self.offsets, averages, self.num_seen)
            self.num_seen = self.num_seen + 1
            layers = [torch.cat(both) for both in zip(seen, walked, strict=True)]
            share = shares(len(data), len(walked[0]), layers[0])
            gap = unless_runaway(gap, math.log(2.0) * sum(len(bias) for bias in model.biases))
            return gap, centred_slopes(layers, self.offsets, share, machine.weights[0].dtype)

    def known(self, model: Deep, batch: Batch) -> Known:
        """The gap, with the chains held fixed after k steps."""
        gap, slopes = self._phases(model, batch.x.flatten(1))
        parameters = [*model.weights, *model.biases]
        return Known({"loss": gap}, list(zip(parameters, slopes, strict=True)))

    def state_dict(self) -> State:
        """The chains, the offsets and how many batches they have seen."""
        return {"chains": self.chains, "offsets": self.offsets, "num_seen": self.num_seen}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.chains = state["chains"].to(self.chains)
        pairs = zip(state["offsets"], self.offsets, strict=True)
        self.offsets = [found.to(old) for found, old in pairs]
        self.num_seen = torch.as_tensor(state["num_seen"]).to(self.num_seen)
        self.begun = bool(self.num_seen > 0)


def slid(offsets: Sequence[Tensor], averages: Sequence[Tensor], num_seen: Tensor) -> list[Tensor]:
    """Offsets that follow the averages of batches."""
    share = newest(num_seen, offsets[0])
    return [old.lerp(new, share) for old, new in zip(offsets, averages, strict=True)]
