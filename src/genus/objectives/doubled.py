"""Greedy layers of a deep Boltzmann machine: each an RBM that sees one side of its units twice."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from genus.engine import Batch, Known, Remembers, State, Traceable, distributed
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.inference.products import lowered, plus_product
from genus.objectives.centred import centred_slopes, none_seen, shares
from genus.objectives.persistent_layers import Deep, slid
from genus.objectives.runaway import unless_runaway

__all__ = ["Doubled", "DoubledContrast"]


class Doubled(NamedTuple):
    """An RBM over v and h with copies of a side, whose couplings are tied.

        p(h = 1 | v) = σ(c + up · Wᵀ v)        p(v = 1 | h) = σ(b + down · W h)

    v and h stand for the mean of their copies. ``up`` is 2 where what is below shall stand in
    for what will be above h, and ``down`` is 2 where h shall stand in for what was below v:

    * the bottom layer: up 2, down 1, two copies of v, both of which show the datum;
    * the top layer: up 1, down 2, two copies of h;
    * a layer between: up 2, down 2, no copies, but couplings 2 W.

    Attributes:
        weights: W, shape ``(below, above)``.
        visible_bias: b.
        hidden_bias: c.
        up: 1 or 2.
        down: 1 or 2.
    """

    weights: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    up: int
    down: int

    @property
    def copies(self) -> tuple[int, int]:
        """Of v and of h."""
        return (2 if self.up > self.down else 1), (2 if self.down > self.up else 1)

    def activation(self, v: Tensor) -> Tensor:
        """c + up · Wᵀ v."""
        return plus_product(self.hidden_bias, v, self.weights, self.up).to(v.dtype)

    def field(self, h: Tensor) -> Tensor:
        """b + down · W h."""
        return plus_product(self.visible_bias, h, self.weights.T, self.down).to(h.dtype)

    def draw_visible(self, h: Tensor) -> Tensor:
        """The mean of the copies of v."""
        return _mean_of(self.field(h).sigmoid_(), self.copies[0])

    def draw_hidden(self, activation: Tensor) -> Tensor:
        """The mean of the copies of h."""
        return _mean_of(activation.sigmoid(), self.copies[1])

    def free_energy_at(self, v: Tensor, activation: Tensor) -> Tensor:
        """F(v) = −copies · b·v − copies · Σ softplus(activation)."""
        visible, hidden = self.copies
        return -visible * (v @ self.visible_bias) - hidden * softplus(activation).sum(1)


class DoubledContrast(Traceable, Remembers):
    """CD-k of one layer of the greedy stack, with its couplings halved from the start.

    Layers below show this one draws of their units, in a pass up with doubled couplings and the
    hidden biases that each of them left: what the layer just below learnt from.
    Trained one after another, two neighbours are joined into a machine in which hₗ is sent what
    either of them would send it alone, halved and added; its bias is the mean of both. So with
    c what the layer below has left as hidden bias, this one has 2 bₗ₋₁ − c as visible bias.
    The centred gradient is carried back as in
    :class:`~genus.objectives.persistent_layers.PersistentLayers`.

    Salakhutdinov & Hinton 2009, section 3.1. The loss is the gap in free energy of the doubled
    RBM, which says little about the likelihood.

    Args:
        layer: which one, from 1 at the bottom.
        k: Gibbs steps from the data.
        centred: whether offsets follow the data; else they stay 0.
        below: the objective of the layer below, which knows what was left; without it the biases
            that the model has at the start stand in for those.

    Raises:
        ValueError: where layer or k is no positive integer.
    """

    def __init__(
        self,
        layer: int,
        k: int = 1,
        *,
        centred: bool = True,
        below: "DoubledContrast | None" = None,
    ) -> None:
        self.layer = check_count("layer", layer)
        self.k = check_count("k", k)
        self.centred = centred
        self.below = below
        self.left: list[Tensor] = []

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Keeps the biases that the layers below have left.

        Raises:
            ValueError: where the model has fewer layers.
        """
        if self.layer > len(model.weights):
            raise ValueError(
                f"layer must be at most {len(model.weights)}, the number of hidden layers, "
                f"got {self.layer}"
            )
        pair = model.biases[self.layer - 1 : self.layer + 1]
        known = [] if self.below is None else self.below.left
        before = known or [bias.detach().clone() for bias in model.biases[: self.layer - 1]]
        self.left = [*before, pair[0].detach().clone()]
        self.offsets = [torch.zeros_like(bias) for bias in pair]
        self.num_seen = none_seen(self.left[-1])

    def doubled(self, model: Deep) -> Doubled:
        """The RBM that learns now."""
        number, top = self.layer, len(model.weights)
        below = model.biases[number - 1].detach()
        visible_bias = below if number == 1 else 2.0 * below - self.left[-1]
        return Doubled(
            lowered(model.weights[number - 1]),
            visible_bias,
            model.biases[number].detach(),
            up=2 if number < top else 1,
            down=2 if number > 1 else 1,
        )

    @torch.no_grad()
    def shown(self, model: Deep, data: Tensor) -> Tensor:
        """What this layer sees of the data: draws, layer by layer."""
        units = data
        for number in range(1, self.layer):
            sent = plus_product(self.left[number], units, lowered(model.weights[number - 1]), 2.0)
            units = bernoulli(sent.to(data.dtype).sigmoid_())
        return units

    @torch.no_grad()
    def _phases(self, machine: Doubled, seen: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gap, and how it shall move W and both biases."""
        positive = machine.activation(seen)
        activation, visible = positive, seen
        for _ in range(self.k):
            visible = machine.draw_visible(machine.draw_hidden(activation))
            activation = machine.activation(visible)
        gap = machine.free_energy_at(seen, positive) - machine.free_energy_at(visible, activation)
        both, hidden = torch.cat([seen, visible]), torch.cat([positive, activation]).sigmoid_()
        if self.centred:
            averages = [seen.mean(0), hidden[: len(seen)].mean(0)]
            distributed.average(averages)
            self.offsets = slid(self.offsets, averages, self.num_seen)
        self.num_seen = self.num_seen + 1
        share = shares(len(seen), len(visible), both)
        mean = unless_runaway(gap.mean(), machine.copies[0] * seen.shape[1] * math.log(2.0))
        return mean, self._slopes(machine, [both, hidden], share)

    def _slopes(self, machine: Doubled, sides: Sequence[Tensor], share: Tensor) -> list[Tensor]:
        """ΔW, and Δb and Δc carried back: b̃ = b + down · W λ and c̃ = c + up · Wᵀ μ are centred.

        The visible bias moves 2 Δ of the model's own where that is a mean of two.
        """
        seen, caused = self.offsets
        carried = (machine.up * seen, machine.down * caused)
        weights, visible, hidden = centred_slopes(
            sides, self.offsets, share, machine.weights.dtype, carried=carried
        )
        return [weights, visible if self.layer == 1 else 0.5 * visible, hidden]

    def known(self, model: Deep, batch: Batch) -> Known:
        """The gap, with the chains held fixed after k steps."""
        data = batch.x.flatten(1)
        machine, seen = self.doubled(model), self.shown(model, data)
        with torch.autocast(data.device.type, enabled=False):
            gap, slopes = self._phases(machine, seen)
        pair = model.biases[self.layer - 1 : self.layer + 1]
        parameters = [model.weights[self.layer - 1], *pair]
        return Known({"loss": gap}, list(zip(parameters, slopes, strict=True)))

    def state_dict(self) -> State:
        """The biases that were left, the offsets and how many batches they have seen."""
        return {"left": self.left, "offsets": self.offsets, "num_seen": self.num_seen}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.left = [found.to(old) for found, old in zip(state["left"], self.left, strict=True)]
        pairs = zip(state["offsets"], self.offsets, strict=True)
        self.offsets = [found.to(old) for found, old in pairs]
        self.num_seen = torch.as_tensor(state["num_seen"]).to(self.num_seen)


def _mean_of(probability: Tensor, copies: int) -> Tensor:
    """The mean of one draw or two."""
    drawn = bernoulli(probability)
    return drawn if copies == 1 else drawn.add_(bernoulli(probability)).mul_(0.5)
