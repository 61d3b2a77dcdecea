"""Maximum likelihood."""

import math
from typing import Protocol

import torch
from torch import Tensor

from genus.engine import Batch, Info
from genus.model import Density
from genus.spaces import Space

__all__ = ["InSomeOrder", "NegativeLogLikelihood", "RandomOrder", "bits_per_dim"]


def bits_per_dim(nats: Tensor, space: Space) -> Tensor:
    """Nats a datum as bits for each of its D numbers: nats / (D log 2)."""
    return nats / (space.num_dimensions * math.log(2.0))


class NegativeLogLikelihood:
    """−log p(x), the mean over the batch, in nats a datum; also as ``bits_per_dim``.

    For a :class:`~genus.model.LowerBound` it is the negative bound.
    """

    def __call__(self, model: Density, batch: Batch) -> Info:
        """The loss of a batch."""
        loss = -model._log_prob(batch.x, batch.condition).mean()
        return {"loss": loss, "bits_per_dim": bits_per_dim(loss.detach(), model.space)}


class InSomeOrder(Protocol):
    """A model with several orders of the entries."""

    space: Space
    num_orders: int

    def log_prob_in_order(self, x: Tensor, order: Tensor, condition: Tensor | None) -> Tensor:
        """log p(x) under one order, shape ``(batch,)``."""


class RandomOrder:
    """−log p(x) under one order, drawn anew for every batch (Germain et al. 2015, section 4.2).

    Its mean is at least the −log of the average of the orders' probabilities, and it costs one
    pass of the network instead of one for each order.
    """

    def __call__(self, model: InSomeOrder, batch: Batch) -> Info:
        """The loss of a batch."""
        order = torch.randint(model.num_orders, (1,), device=batch.x.device)
        loss = -model.log_prob_in_order(batch.x, order, batch.condition).mean()
        return {"loss": loss, "bits_per_dim": bits_per_dim(loss.detach(), model.space)}
