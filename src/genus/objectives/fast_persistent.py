"""Fast persistent contrastive divergence: chains that a second, fleeting set of weights drives."""

from typing import Any

import torch
from torch import Tensor

from genus.engine import State, distributed
from genus.engine.counts import check_count
from genus.inference.products import product
from genus.objectives.centred import shares
from genus.objectives.contrastive import Bipartite, Contrast, Phases
from genus.objectives.resting import Resting
from genus.objectives.sparsity import Sparsity

__all__ = ["FastPersistentContrastiveDivergence"]

FAST = ("fast_weights", "fast_visible_bias", "fast_hidden_bias")


class FastPersistentContrastiveDivergence(Contrast):
    """Persistent chains of an RBM whose parameters are θ + φ (Tieleman & Hinton 2009).

    φ begins at 0, and after each step takes the contrast of the phases and fades:

        φ ← decay · φ + fast_rate · (⟨∂ −F⟩_data − ⟨∂ −F⟩_chains)

    It raises the energy wherever the chains stand, which drives them on, and is no part of the
    model. The chains hence follow p only roughly; the gradient of θ is that of F at θ alone.

    Args:
        k: Gibbs steps between two steps of learning.
        num_chains: over all processes.
        fast_rate: learning rate of φ; 0 gives persistent contrastive divergence.
        decay: of φ at each step, 0 to 1; the paper's is 19/20.
        centred: take the gradient of θ in centred coordinates, see
            :class:`~genus.objectives.contrastive.Contrast`.
        sparsity: of the hidden units, where they shall have it.

    Raises:
        ValueError: where an argument is out of its range.
    """

    sharded = ("chains",)

    def __init__(
        self,
        k: int = 1,
        num_chains: int = 100,
        *,
        fast_rate: float = 0.05,
        decay: float = 0.95,
        centred: bool = True,
        sparsity: Sparsity | None = None,
    ) -> None:
        super().__init__(k, centred, sparsity)
        if not fast_rate >= 0:
            raise ValueError(f"fast_rate must be at least 0, got {fast_rate}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.num_chains = check_count("num_chains", num_chains)
        self.fast_rate = fast_rate
        self.decay = decay

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins every chain with visible units drawn from the biases, and φ at 0."""
        super().start(model, batch_size)
        visible = model.visible_units.draw(model.visible_bias.expand(self.num_chains, -1))
        self.chains = distributed.take_rows(visible)
        self.fast_weights = torch.zeros_like(model.weights)
        self.fast_visible_bias = torch.zeros_like(model.visible_bias)
        self.fast_hidden_bias = torch.zeros_like(model.hidden_bias)

    def _walk(self, model: Bipartite, dtype: torch.dtype) -> Tensor:
        """The visible units after k Gibbs steps at θ + φ, with products of this precision."""
        fast = Resting(
            (model.weights + self.fast_weights).to(dtype),
            model.visible_bias + self.fast_visible_bias,
            model.hidden_bias + self.fast_hidden_bias,
        )
        visible = self.chains
        for _ in range(self.k):
            activation = fast.activation(model.visible_units.statistic(visible))
            hidden = model.hidden_units.draw(activation, inplace=True)
            visible = model.visible_units.draw(fast.field(hidden), inplace=True)
        return visible

    def _follow(self, visible: Tensor, hidden: Tensor, n: int, dtype: torch.dtype) -> None:
        """φ takes the contrast of n data and the chains, and fades."""
        share = -shares(n, len(visible) - n, visible)
        weights = product(visible, hidden * share.unsqueeze(1), dtype)
        contrast = [weights, torch.mv(visible.T, share), torch.mv(hidden.T, share)]
        distributed.average(contrast)
        for name, step in zip(FAST, contrast, strict=True):
            setattr(self, name, self.decay * getattr(self, name) + self.fast_rate * step)

    def _phases(self, model: Bipartite, still: Resting, data: Tensor) -> Phases:
        """Reports also ``fast_norm``, that of φ's W."""
        self.chains = self._walk(model, still.weights.dtype)
        both = torch.cat([data, self.chains])
        statistic = model.visible_units.statistic(both)
        activation = still.activation(statistic)
        means = model.hidden_units.mean(activation)
        self._follow(statistic, means, len(data), still.weights.dtype)
        return Phases(both, len(data), activation, {"fast_norm": self.fast_weights.norm()})

    def state_dict(self) -> State:
        """The chains, the offsets and φ."""
        fast = {name: getattr(self, name) for name in FAST}
        return {**super().state_dict(), "chains": self.chains, **fast}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        super().load_state_dict(state)
        for name in ("chains", *FAST):
            setattr(self, name, state[name].to(getattr(self, name)))
