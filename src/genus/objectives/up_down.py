"""Up–down: contrastive wake–sleep of a deep belief network (Hinton, Osindero & Teh 2006)."""

from typing import Any, Protocol

import torch
from torch import Tensor

from genus.engine import Batch, Info, Remembers, State
from genus.engine.known import with_gradient
from genus.objectives.layer_contrast import LayerContrast, Layered

__all__ = ["UpDown"]


class Deep(Protocol):
    """Directed layers, with recognition weights of their own, below an undirected pair."""

    @property
    def top(self) -> Layered:
        """The undirected pair."""

    def ascend(self, x: Tensor) -> list[Tensor]:
        """x, and draws of the units of each directed layer above it, from the recogniser."""

    def descend(self, u: Tensor) -> list[Tensor]:
        """Draws of x and of the units above it, up to u, which is their last."""

    def log_generated(self, states: list[Tensor]) -> Tensor:
        """log p of all but the last of these states given it, with its gradient for p."""

    def log_recognised(self, states: list[Tensor]) -> Tensor:
        """log q of all but the first given it, with its gradient for q."""

    def units_of(self, visible: Tensor) -> Tensor:
        """The visible side of the top pair without its label."""


class UpDown(Remembers):
    """Appendix B of Hinton, Osindero & Teh (2006), for all layers at once.

        wake    −log p(x, h₁, ... | u) of draws h₁, ..., u ~ q(h | x): moves the generative side
        top     F(u, y) less F of Gibbs chains that begin there, or persist: moves the top pair
        sleep   −log q(h₁, ..., u | x) of dreams that begin at the chains' u: moves the recogniser

    The three have no parameter in common. Given the draws that the other two begin with, the
    gradients of wake and sleep are unbiased ones of these expectations; that of the top pair
    tends to the one of the bound as k grows. Unlike in the paper, dreams end in a draw of x
    and not in its mean, of which log q would be another expectation.

    Args:
        k: Gibbs steps of the top pair.
        num_chains: over all processes, of chains that persist; None begins them at the data.
        centred: whether the gradient of the top pair is taken in centred coordinates.

    Raises:
        ValueError: where k or num_chains is below 1.
    """

    def __init__(self, k: int = 1, num_chains: int | None = None, *, centred: bool = True) -> None:
        self.contrast = LayerContrast(k, num_chains, centred=centred)
        self.sharded = self.contrast.sharded

    def start(self, model: Any, batch_size: int) -> None:
        """Begins the chains of the top pair."""
        self.contrast.start(model.top, batch_size)

    def __call__(self, model: Deep, batch: Batch) -> Info:
        """``loss``, the sum of ``wake``, ``sleep`` (nats) and ``gap``."""
        with torch.no_grad():
            awake = model.ascend(batch.x)
        found = self.contrast.contrast(model.top, model.top.joined(awake[-1], batch.condition))
        with torch.no_grad():
            dreams = model.descend(model.units_of(found.chains))
        wake = -model.log_generated(awake).mean()
        sleep = -model.log_recognised(dreams).mean()
        gap = with_gradient(found.gap, *found.slopes)
        return {"loss": wake + sleep + gap, "wake": wake, "sleep": sleep, "gap": gap}

    def state_dict(self) -> State:
        """That of the chains."""
        return self.contrast.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Takes it up again."""
        self.contrast.load_state_dict(state)
