"""Contrastive divergence: data against what a Markov chain makes of them.

The gradient of −log p(v) is ∂F(v) − E[∂F], with the expectation under the model. Here the
model's side is replaced by chains: begun at the data (CD, Hinton 2002) or kept from step to
step (PCD, Younes 1989; Tieleman 2008).
"""

from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Batch, Info, Remembers, State, distributed
from genus.inference.gibbs import bernoulli

__all__ = ["Bipartite", "ContrastiveDivergence", "PersistentContrastiveDivergence"]

NUM_WATCHED = 16
SLIDE = 0.01


class Bipartite(Protocol):
    """Visible and hidden binary units, each side independent given the other."""

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter

    def activation(self, v: Tensor) -> Tensor:
        """The log odds of the hidden units given the visible ones, ``(batch, hidden)``."""

    def field(self, h: Tensor) -> Tensor:
        """The log odds of the visible units given the hidden ones, ``(batch, visible)``."""

    def free_energy_at(self, v: Tensor, activation: Tensor) -> Tensor:
        """F(v) where its activation is known already, ``(batch,)``."""


class Contrast(Remembers):
    """What CD and PCD share: the gap in free energy, and its gradient in centred coordinates.

    With offsets μ and λ, slow averages of the visible and hidden units over the data, the
    energy is the same function of v and h in the coordinates b̃ = b + W λ, c̃ = c + μᵀW:

        E = −b̃·(v − μ) − c̃·(h − λ) − (v − μ)ᵀW (h − λ) + const

    The gradient there is far better conditioned (Montavon & Müller 2012; Melchior, Fischer &
    Wiskott 2016). Carried back, with ⟨·⟩ for data less chains,

        ΔW = ⟨(v − μ)(h − λ)ᵀ⟩    Δb = ⟨v⟩ − ΔW λ    Δc = ⟨h⟩ − ΔWᵀμ,

    which is zero where the plain gradient is.
    """

    def __init__(self, k: int, centred: bool) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k
        self.centred = centred

    def start(self, model: Any, batch_size: int) -> None:
        """Begins the offsets at what the biases alone would make of the units."""
        self.visible_offset = model.visible_bias.detach().sigmoid()
        self.hidden_offset = model.hidden_bias.detach().sigmoid()
        if not self.centred:
            self.visible_offset.zero_()
            self.hidden_offset.zero_()

    def gap(self, model: Bipartite, both: Tensor, num_data: int, activation: Tensor) -> Tensor:
        """Mean F of the first ``num_data`` rows less mean F of the others; slides the offsets."""
        with torch.no_grad():
            energy = model.free_energy_at(both, activation)
            value = energy[:num_data].mean() - energy[num_data:].mean()
            hidden = activation.sigmoid()
            if self.centred:
                averages = [both[:num_data].mean(0), hidden[:num_data].mean(0)]
                distributed.average(averages)
                self.visible_offset = self.visible_offset.lerp(averages[0], SLIDE)
                self.hidden_offset = self.hidden_offset.lerp(averages[1], SLIDE)
            share = torch.full_like(energy, -1.0 / (len(both) - num_data))
            share[:num_data] = 1.0 / num_data
        offsets = (self.visible_offset, self.hidden_offset)
        parameters = (model.weights, model.visible_bias, model.hidden_bias)
        gap: Tensor = _Gap.apply(value, both, hidden, share, *offsets, *parameters)
        return gap

    def state_dict(self) -> State:
        """The offsets."""
        return {"visible_offset": self.visible_offset, "hidden_offset": self.hidden_offset}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.visible_offset = state["visible_offset"].to(self.visible_offset)
        self.hidden_offset = state["hidden_offset"].to(self.hidden_offset)


class _Gap(torch.autograd.Function):
    """A value whose gradient is the contrast of two phases: one product, no history."""

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        visible: Float[Tensor, "rows visible"],
        hidden: Float[Tensor, "rows hidden"],
        share: Float[Tensor, " rows"],
        visible_offset: Tensor,
        hidden_offset: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        """Passes the value on and keeps the two sides and each row's share in the contrast."""
        ctx.save_for_backward(visible, hidden, share, visible_offset, hidden_offset)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """−ΔW, −Δb and −Δc times the gradient from above."""
        visible, hidden, share, visible_offset, hidden_offset = ctx.saved_tensors
        share = share * -outputs[0]
        centred = (hidden - hidden_offset).mul_(share.unsqueeze(1))
        weights = (visible - visible_offset).T @ centred
        visible_bias = share @ visible - weights @ hidden_offset
        hidden_bias = share @ hidden - visible_offset @ weights
        return (*[None] * 6, weights, visible_bias, hidden_bias)


class ContrastiveDivergence(Contrast):
    """CD-k: chains of k Gibbs steps that begin at the data.

    Its loss is the gap F(v⁺) − F(v⁻), which says little about the likelihood.
    ``reconstruction`` is the mean squared error per entry of p(v | h), for h drawn from
    p(h | data).

    Args:
        k: Gibbs steps.
        centred: take the gradient in centred coordinates, see :class:`Contrast`.

    Raises:
        ValueError: where k is below 1.
    """

    def __init__(self, k: int = 1, *, centred: bool = True) -> None:
        super().__init__(k, centred)

    def __call__(self, model: Bipartite, batch: Batch) -> Info:
        """The gap, with the chains held fixed."""
        data = batch.x.flatten(1)
        with torch.no_grad():
            positive = model.activation(data)
            mean = model.field(bernoulli(positive.sigmoid())).sigmoid_()
            reconstruction = (mean - data).square_().mean()
            visible = bernoulli(mean)
            activation = model.activation(visible)
            for _ in range(self.k - 1):
                visible = bernoulli(model.field(bernoulli(activation.sigmoid_())).sigmoid_())
                activation = model.activation(visible)
            both, activation = torch.cat([data, visible]), torch.cat([positive, activation])
        loss = self.gap(model, both, len(data), activation)
        return {"loss": loss, "reconstruction": reconstruction}


class PersistentContrastiveDivergence(Contrast):
    """PCD-k: chains of their own, k Gibbs steps on at every step of learning.

    The chains are hidden units: from them come the visible units of the negative phase, whose
    activation serves the gradient and draws the hidden units that are remembered. Like
    :class:`ContrastiveDivergence` it reports the gap and ``reconstruction``, here of the first
    16 data.

    Args:
        k: Gibbs steps between two steps of learning.
        num_chains: over all processes.
        centred: take the gradient in centred coordinates, see :class:`Contrast`.

    Raises:
        ValueError: where k or num_chains is below 1.
    """

    sharded = ("chains",)

    def __init__(self, k: int = 1, num_chains: int = 100, *, centred: bool = True) -> None:
        super().__init__(k, centred)
        if num_chains < 1:
            raise ValueError(f"num_chains must be at least 1, got {num_chains}")
        self.num_chains = num_chains

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins every chain with hidden units from p(h | v), for v drawn from the biases."""
        super().start(model, batch_size)
        bias = model.visible_bias
        visible = bernoulli(bias.sigmoid().expand(self.num_chains, -1))
        hidden = bernoulli(model.activation(visible).sigmoid_())
        self.chains = distributed.take_rows(hidden)

    def __call__(self, model: Bipartite, batch: Batch) -> Info:
        """The gap, with the chains held fixed after k steps."""
        data = batch.x.flatten(1)
        n = len(data)
        with torch.no_grad():
            visible = bernoulli(model.field(self.chains).sigmoid_())
            for _ in range(self.k - 1):
                hidden = bernoulli(model.activation(visible).sigmoid_())
                visible = bernoulli(model.field(hidden).sigmoid_())
            both = torch.cat([data, visible])
            activation = model.activation(both)
            self.chains = bernoulli(activation[n:].sigmoid())
            watched = data[:NUM_WATCHED]
            mean = model.field(bernoulli(activation[: len(watched)].sigmoid())).sigmoid_()
            reconstruction = (mean - watched).square_().mean()
        return {"loss": self.gap(model, both, n, activation), "reconstruction": reconstruction}

    def state_dict(self) -> State:
        """The chains and the offsets."""
        return {**super().state_dict(), "chains": self.chains}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        super().load_state_dict(state)
        self.chains = state["chains"].to(self.chains)
