"""Ratio matching: how probable data are beside their neighbours, which needs no log Z."""

from typing import Protocol

import torch
from torch import Tensor

from genus.engine import Batch, Info
from genus.spaces import Binary, Space

__all__ = ["RatioMatching"]

ROWS = 1 << 13


class BinaryEnergy(Protocol):
    """A density of binary data up to its constant."""

    space: Space

    def _free_energy(self, x: Tensor) -> Tensor:
        """F(x), with its gradient."""


class RatioMatching:
    """Σᵢ σ(F(x) − F(x̄ⁱ))², the mean over the batch, x̄ⁱ being x with entry i flipped.

    With g(u) = 1/(1 + u) each term is g(p(x)/p(x̄ⁱ))² (Hyvärinen 2007). Up to a constant their
    mean is a squared distance of the model's ratios of probabilities to those of the data, so
    that over much data the true distribution minimises it where the model holds it. It asks
    for the free energies of all D neighbours of every datum.
    """

    def __call__(self, model: BinaryEnergy, batch: Batch) -> Info:
        """The loss of a batch.

        Raises:
            ValueError: where the data of the model are not binary.
        """
        if not isinstance(model.space, Binary):
            raise ValueError(f"ratio matching needs binary data, the model has {model.space}")
        x = batch.x.flatten(1)
        here = model._free_energy(batch.x)
        total = x.new_zeros(())
        for flip in torch.eye(x.shape[1]).to(x).split(max(1, ROWS // len(x))):
            neighbours = (x.unsqueeze(1) - flip).abs().reshape(-1, *batch.x.shape[1:])
            there = model._free_energy(neighbours).reshape(len(x), -1)
            total = total + (here.unsqueeze(1) - there).sigmoid().square().sum()
        return {"loss": total / len(x)}
