"""Uniform noise at an address: the draw of an example depends on its index and on nothing else."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Noise", "addressed", "fresh"]

Noise = Callable[[int], Tensor]
"""From a number k to uniform draws in [0, 1), shape ``(batch, k)``."""

# the constants of SplitMix64, as signed 64-bit numbers
GOLDEN = -0x61C8864680B583EB
FIRST = -0x40A7B892E31B1A47
SECOND = -0x6B2FB644ECCEEE15


def fresh(like: Tensor) -> Noise:
    """Draws from the global generator, one row for each example of ``like``."""
    return lambda k: torch.rand(len(like), k, device=like.device)


def addressed(seed: int, indices: Int[Tensor, " batch"], device: torch.device) -> Noise:
    """Draws that follow from the seed and the index of each example alone.

    Entry j of example i is the output of SplitMix64 at position i k + j (Steele, Lea & Flood
    2014), so that it does not depend on the batch, its order or the device.
    """

    def draw(k: int) -> Float[Tensor, "batch k"]:
        rows = indices.to(device)[:, None] * k
        position = rows + torch.arange(1, k + 1, device=device)
        return (_splitmix(position * GOLDEN + seed) >> 40 & 0xFFFFFF).float() * 2.0**-24

    return draw


def _splitmix(z: Tensor) -> Tensor:
    """The finaliser of SplitMix64; int64 products wrap around as uint64 ones do."""
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """A logical shift to the right."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
