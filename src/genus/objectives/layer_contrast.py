"""Contrastive divergence of two layers whose visible side may be real or carry a label."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.bernoulli import mean_and_softplus
from genus.engine import Batch, Info, Known, Remembers, State, distributed
from genus.engine.counts import check_count
from genus.engine.moves import Move, StepsWhole
from genus.inference.gibbs import bernoulli
from genus.objectives.centred import centred_slopes, newest, newest_value, none_seen, shares
from genus.objectives.resting import Resting
from genus.objectives.runaway import unless_runaway
from genus.objectives.whole_steps import Kernels, Walk

__all__ = ["Contrasted", "LayerContrast", "Layered"]

AVERAGES = ("visible_mean", "hidden_mean")


class Layered(Protocol):
    """A visible side and binary hidden units, each side independent given the other.

    Attributes:
        logistic: whether each entry of the visible side is 1 with probability σ(field), else 0.
    """

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter

    @property
    def logistic(self) -> bool:
        """See above."""

    def joined(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """The visible side: units, and a one-hot label where there is one."""

    def activation(self, v: Tensor) -> Tensor:
        """The log odds of the hidden units given the visible side."""

    def draw_visible(self, field: Tensor) -> Tensor:
        """A draw of the visible side given what it is sent."""

    def energy_of_visible(self, v: Tensor) -> Tensor:
        """What the visible side costs by itself, ``(batch,)``."""

    def multiplied(self, v: Tensor) -> Tensor:
        """What the weights multiply on the way up."""

    def further_slopes(
        self, v: Tensor, hidden: Tensor, share: Tensor, offsets: Sequence[Tensor], slope: Tensor
    ) -> Sequence[tuple[nn.Parameter, Tensor]]:
        """Parameters beside weights and biases, and Σ share ∂F(v) of each."""


class Contrasted(NamedTuple):
    """The gap in free energy and its slopes, and the visible side of the chains."""

    gap: Tensor
    slopes: list[tuple[nn.Parameter, Tensor]]
    chains: Float[Tensor, "chains visible"]


class LayerContrast(StepsWhole, Remembers):
    """Mean F of the data less mean F of Gibbs chains (Hinton 2002; Tieleman 2008).

    The chains begin at the data, or go on from step to step. The label of a layer that has one
    is part of what is learnt: the chains draw it with the units. In coordinates centred at μ
    and λ, slow averages of what the weights multiply and of the hidden units over the data,
    and carried back (Melchior, Fischer & Wiskott 2016), with ⟨·⟩ for data less chains:

        ΔW = ⟨(v − μ)(h − λ)ᵀ⟩    Δb = ⟨v⟩ − ΔW λ    Δc = ⟨h⟩ − ΔWᵀμ

    Args:
        k: Gibbs steps.
        num_chains: over all processes, of chains that persist; None begins them at the data.
        centred: whether the gradient is centred at those averages; else at 0.

    Attributes:
        visible_mean, hidden_mean: the averages: of all batches at first, then slow.

    Raises:
        ValueError: where k or num_chains is no positive integer.
    """

    def __init__(self, k: int = 1, num_chains: int | None = None, *, centred: bool = True) -> None:
        self.k, self.centred = check_count("k", k), centred
        self.num_chains = None if num_chains is None else check_count("num_chains", num_chains)
        self.sharded = () if num_chains is None else ("chains",)

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins averages and chains at what the biases alone would make of the units."""
        count = self.num_chains or 1
        draws = model.draw_visible(model.visible_bias.expand(count, -1))
        binary = bool(((draws == 0) | (draws == 1)).all())
        self.log_states = draws.shape[1] * math.log(2.0) if binary else math.inf
        self.visible_mean = model.multiplied(draws).mean(0)
        self.hidden_mean = model.hidden_bias.detach().sigmoid()
        self.num_seen = none_seen(self.hidden_mean)
        self._kernels = Kernels()
        if self.num_chains is not None:
            chains = bernoulli(model.activation(draws).sigmoid_())
            self.chains = distributed.take_rows(chains)

    @property
    def visible_offset(self) -> Tensor:
        """μ."""
        return self.visible_mean if self.centred else torch.zeros_like(self.visible_mean)

    @property
    def hidden_offset(self) -> Tensor:
        """λ."""
        return self.hidden_mean if self.centred else torch.zeros_like(self.hidden_mean)

    @torch.no_grad()
    def contrast(self, model: Layered, data: Float[Tensor, "batch visible"]) -> Contrasted:
        """The gap for these data, and where the chains have come to."""
        still = Resting.of(model)
        with torch.autocast(data.device.type, enabled=False):
            if self.num_chains is None:
                first = still.activation(model.multiplied(data))
                hidden = bernoulli(first.sigmoid())
            else:
                hidden = self.chains
            visible = model.draw_visible(still.field(hidden))
            for _ in range(self.k - 1):
                activation = still.activation(model.multiplied(visible))
                visible = model.draw_visible(still.field(bernoulli(activation.sigmoid_())))
            both = torch.cat([data, visible])
            if self.num_chains is None:
                activation = torch.cat([first, still.activation(model.multiplied(visible))])
            else:
                activation = still.activation(model.multiplied(both))
                self.chains = bernoulli(activation[len(data) :].sigmoid())
            gap, slopes = self._gap(model, both, len(data), activation, still.weights.dtype)
        return Contrasted(gap, slopes, visible)

    def _gap(
        self, model: Layered, both: Tensor, num_data: int, activation: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, list[tuple[nn.Parameter, Tensor]]]:
        """Mean F of the first rows less mean F of the others; slides the averages."""
        hidden, partition = mean_and_softplus(activation)
        energy = model.energy_of_visible(both) - partition
        visible = model.multiplied(both)
        averages = [visible[:num_data].mean(0), hidden[:num_data].mean(0)]
        distributed.average(averages)
        slide = newest(self.num_seen, hidden)
        self.num_seen = self.num_seen + 1
        self.visible_mean = self.visible_mean.lerp(averages[0], slide)
        self.hidden_mean = self.hidden_mean.lerp(averages[1], slide)
        share = shares(num_data, len(both) - num_data, both)
        offsets = (self.visible_offset, self.hidden_offset)
        found = centred_slopes((visible, hidden), offsets, share, dtype)
        parameters = (model.weights, model.visible_bias, model.hidden_bias)
        further = model.further_slopes(both, hidden, -share, offsets, found[0])
        gap = unless_runaway(-torch.dot(share, energy), self.log_states)
        return gap, [*zip(parameters, found, strict=True), *further]

    def whole_step(
        self, model: Layered, batch: Batch, how: Sequence[Move], rate: float
    ) -> Info | None:
        """By the kernel of binary units, where the gradient is centred."""
        if type(self) is not LayerContrast or not (self.centred and model.logistic):
            return None
        if not self._kernels.serve(model.weights):
            return None
        chains = None if self.num_chains is None else self.chains
        averages = (self.visible_mean, self.hidden_mean)
        walk = Walk(self.k, chains, averages, newest_value(self.num_seen), self.log_states)
        found = self._kernels.step(model, batch.x.flatten(1), how, rate, walk)
        if found is None:
            return None
        self.num_seen = self.num_seen + 1
        self.visible_mean, self.hidden_mean = found.offsets
        if found.chains is not None:
            self.chains = found.chains
        return found.info

    def known(self, model: Layered, batch: Batch) -> Known:
        """The gap, which says little about the likelihood."""
        found = self.contrast(model, model.joined(batch.x.flatten(1), batch.condition))
        return Known({"loss": found.gap}, found.slopes)

    def state_dict(self) -> State:
        """The averages, how many batches they have seen, and the chains that persist."""
        state: State = {name: getattr(self, name) for name in AVERAGES}
        state["num_seen"] = self.num_seen
        return state if self.num_chains is None else {**state, "chains": self.chains}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        for name in self.state_dict():
            setattr(self, name, torch.as_tensor(state[name]).to(getattr(self, name)))
