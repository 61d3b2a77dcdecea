"""Persistent Gibbs chains against data, for machines whose units are joined at will."""

import math
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from genus.engine import Batch, Known, KnowsGradient, Remembers, State, distributed
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.objectives.centred import newest, none_seen
from genus.objectives.runaway import unless_runaway

__all__ = ["PersistentGibbs"]


@runtime_checkable
class Walks(Protocol):
    """A machine over joined units, the visible ones first."""

    pair_weights: nn.Parameter
    bias: nn.Parameter
    pairs: Tensor

    def expected(self, x: Tensor) -> Tensor:
        """The data and means of the hidden units, shape ``(batch, units)``."""

    def walk(self, units: Tensor, steps: int) -> Tensor:
        """All units after some Gibbs sweeps."""

    def energy(self, units: Tensor) -> Tensor:
        """E of all units, shape ``(batch,)``."""


class PersistentGibbs(KnowsGradient, Remembers):
    """Data, their hidden units by mean field, against chains that go on from step to step.

    Its loss is the gap in mean energy, which says little about the likelihood. Its gradient is
    that of a lower bound of it in the positive phase, tight where no hidden units are joined
    (Salakhutdinov & Hinton 2009), and Younes' (1989) in the negative one. In coordinates
    centred at μ, a slow average of the units, and carried back (Montavon & Müller 2012):

        ΔUᵢⱼ = ⟨(xᵢ − μᵢ)(xⱼ − μⱼ)⟩        Δb = ⟨x⟩ − ΔU μ        ⟨·⟩: data less chains

    Args:
        k: Gibbs sweeps between two steps of learning.
        num_chains: over all processes.
        centred: whether μ follows the data; else it stays 0.

    Raises:
        ValueError: where k or num_chains is no positive integer.
    """

    sharded = ("chains",)

    def __init__(self, k: int = 1, num_chains: int = 100, *, centred: bool = True) -> None:
        self.k = check_count("k", k)
        self.num_chains = check_count("num_chains", num_chains)
        self.centred = centred

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins chains and offset at what the biases alone would make of the units.

        Raises:
            ValueError: where the model is no machine of joined units.
        """
        if not isinstance(model, Walks):
            raise ValueError(
                "PersistentGibbs needs units that are joined at will, as in a BoltzmannMachine; "
                f"{type(model).__name__} learns by its own algorithm()"
            )
        odds = model.bias.detach().sigmoid()
        self.offset = odds if self.centred else torch.zeros_like(odds)
        self.num_seen = none_seen(self.offset)
        self.chains = distributed.take_rows(bernoulli(odds.expand(self.num_chains, -1)))

    @torch.no_grad()
    def _phases(self, model: Walks, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gap, and what it gains by every coupling and bias."""
        data = model.expected(x)
        self.chains = model.walk(self.chains, self.k)
        gap = model.energy(data).mean() - model.energy(self.chains).mean()
        gap = unless_runaway(gap, len(model.bias) * math.log(2.0))
        if self.centred:
            average = data.mean(0)
            distributed.average([average])
            self.num_seen = self.num_seen + 1
            self.offset = self.offset.lerp(average, newest(self.num_seen, average))
        products = _products(data - self.offset) - _products(self.chains - self.offset)
        first, second = model.pairs
        pairs = products[first, second]
        mean = data.mean(0) - self.chains.mean(0)
        mean = mean.index_add(0, first, -pairs * self.offset[second])
        return gap, -pairs, -mean.index_add(0, second, -pairs * self.offset[first])

    def known(self, model: Walks, batch: Batch) -> Known:
        """The gap, with the chains held fixed after k sweeps."""
        gap, pairs, bias = self._phases(model, batch.x)
        return Known({"loss": gap}, [(model.pair_weights, pairs), (model.bias, bias)])

    def state_dict(self) -> State:
        """The chains, the offset and how many batches it has seen."""
        return {"chains": self.chains, "offset": self.offset, "num_seen": self.num_seen}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.chains = state["chains"].to(self.chains)
        self.offset = state["offset"].to(self.offset)
        self.num_seen = torch.as_tensor(state["num_seen"]).to(self.num_seen)


def _products(rows: Tensor) -> Tensor:
    """The mean of x xᵀ."""
    return (rows.T @ rows / len(rows)).to(rows.dtype)
