"""Noise for steps: drawn anew, or at an address, where the index of an example decides alone."""

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genus.inference.gibbs import bernoulli, hashed

__all__ = ["Addressed", "Fresh", "Noise", "bits_of"]

BITS = 24


class Noise(ABC):
    """What steps draw for a batch of examples."""

    @abstractmethod
    def uniform(self, k: int) -> Float[Tensor, "batch k"]:
        """Numbers in [0, 1), k for each example."""

    @abstractmethod
    def bits(self, x: Tensor, top: int) -> Tensor:
        """0 or 1 for each entry of a batch, as floats: 1 with probability x / top."""


@final
class Fresh(Noise):
    """Draws from the global generator.

    Args:
        like: the batch.
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like

    def uniform(self, k: int) -> Tensor:
        """Numbers in [0, 1), k for each example."""
        return torch.rand(len(self.like), k, device=self.like.device)

    def bits(self, x: Tensor, top: int) -> Tensor:
        """Drawn as the units of a machine are."""
        probability = x.reshape(len(x), -1).to(torch.get_default_dtype()).div(top)
        return bernoulli(probability).reshape(x.shape)


@final
class Addressed(Noise):
    """Draws that follow from a seed and the index of each example alone.

    Entry j of example i is the output of SplitMix64 at position i k + j (Steele, Lea & Flood
    2014), so that it does not depend on the batch, its order or the device.

    Args:
        seed: below 2⁶³.
        indices: of the examples.
        device: of the draws.
    """

    def __init__(self, seed: int, indices: Int[Tensor, " batch"], device: torch.device) -> None:
        self.seed, self.indices, self.device = seed, indices, device

    def uniform(self, k: int) -> Tensor:
        """Numbers in [0, 1), k for each example."""
        rows = self.indices.to(self.device)[:, None] * k
        words = hashed(rows + torch.arange(1, k + 1, device=self.device), self.seed)
        numbers = words.bitwise_right_shift_(64 - BITS).bitwise_and_((1 << BITS) - 1)
        return numbers.float().mul_(2.0**-BITS)

    def bits(self, x: Tensor, top: int) -> Tensor:
        """1 where a uniform number in [0, top) is below x."""
        return bits_of(self.uniform(x[0].numel()).reshape(x.shape), x, top)


def bits_of(uniform: Tensor, x: Tensor, top: int) -> Tensor:
    """1.0 where top · u < x, else 0.0."""
    return (uniform * top).lt_(x).to(torch.get_default_dtype())
