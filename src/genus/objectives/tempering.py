"""Contrastive learning of an RBM whose persistent chains are tempered."""

from typing import Any, Protocol

import torch
from torch import Tensor

from genus.engine import State, distributed
from genus.engine.counts import check_count
from genus.inference.tempering import Ladder, temper
from genus.objectives.centred import SLIDE
from genus.objectives.contrastive import Bipartite, Contrast, Phases
from genus.objectives.resting import Resting
from genus.objectives.sparsity import Sparsity

__all__ = ["TemperedContrastiveDivergence"]


class Path(Ladder, Protocol):
    """A path whose products can run in less precision."""

    def with_weights(self, weights: Tensor) -> Ladder:
        """The same with weights that were cast to another precision."""


class Temperable(Bipartite, Protocol):
    """An RBM that knows the path of densities from independent units to itself."""

    def _tempered(self) -> Path:
        """The path."""


class TemperedContrastiveDivergence(Contrast):
    """Persistent chains by parallel tempering (Desjardins, Courville & Bengio 2010).

    Every chain is a ladder of ``num_temperatures`` states at evenly spaced β from 0 to 1, which
    change places, see :mod:`genus.inference.tempering`; the states at β = 1 are the negative
    phase. It reports the gap in free energy, ``swap_rate``, the mean over the pairs of the
    share of swaps that were accepted, and ``least_swap_rate`` of the worst pair; slow averages
    of all of them are in ``swap_rates``, from the pair nearest β = 0 on.

    Args:
        num_temperatures: at least 2.
        k: Gibbs steps, each followed by swaps, between two steps of learning.
        num_chains: over all processes.
        centred: take the gradient in centred coordinates, see
            :class:`~genus.objectives.contrastive.Contrast`.
        sparsity: of the hidden units, where they shall have it.

    Raises:
        ValueError: where an argument is below its least value.
    """

    sharded = ("chains",)

    def __init__(
        self,
        num_temperatures: int = 10,
        k: int = 1,
        num_chains: int = 100,
        *,
        centred: bool = True,
        sparsity: Sparsity | None = None,
    ) -> None:
        super().__init__(k, centred, sparsity)
        if check_count("num_temperatures", num_temperatures) < 2:
            raise ValueError(f"num_temperatures must be at least 2, got {num_temperatures}")
        self.num_chains = check_count("num_chains", num_chains)
        self.betas = [step / (num_temperatures - 1) for step in range(num_temperatures)]

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins every state of every chain with units drawn from the visible biases."""
        super().start(model, batch_size)
        bias = model.visible_bias
        units = model.visible_units.draw(bias.expand(self.num_chains, len(self.betas), -1))
        self.chains = distributed.take_rows(units)
        self.swap_rates = bias.new_full((len(self.betas) - 1,), torch.nan)

    def _phases(self, model: Temperable, still: Resting, data: Tensor) -> Phases:
        """Reports also ``swap_rate`` and ``least_swap_rate``."""
        path = model._tempered().with_weights(still.weights)
        self.chains, rates = temper(path, self.chains, self.betas, self.k)
        slowly = self.swap_rates.lerp(rates.to(self.swap_rates), SLIDE)
        self.swap_rates = torch.where(slowly.isnan(), rates.to(slowly), slowly)
        both = torch.cat([data, self.chains[:, -1]])
        activation = still.activation(model.visible_units.statistic(both))
        info = {"swap_rate": rates.mean(), "least_swap_rate": rates.min()}
        return Phases(both, len(data), activation, info)

    def state_dict(self) -> State:
        """The chains, the offsets and the rates."""
        return {**super().state_dict(), "chains": self.chains, "swap_rates": self.swap_rates}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        super().load_state_dict(state)
        self.chains = state["chains"].to(self.chains)
        self.swap_rates = state["swap_rates"].to(self.swap_rates)
