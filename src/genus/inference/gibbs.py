"""Draws for Gibbs sampling in blocks of binary units."""

from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

__all__ = ["bernoulli", "hashed"]

LEVELS = 1 << 16
MIDDLE = 1 << 15
PARTS = 1 << 8
LEAST = -(1 << 63)
ODD, FIRST, SECOND = (
    number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
BLOCK = 1 << 16
BLOCK_STEP = (BLOCK * ODD + (1 << 63)) % (1 << 64) - (1 << 63)


def bernoulli(probability: Tensor) -> Tensor:
    """Draws of 0 or 1, as floats; carries no gradient.

    In float32 on a CPU, where random numbers cost more than a matrix product, four of 16 bits
    come from each of 64, and those of a row (along the last dimension) share 8 lower bits s:

        x = 1  where  u + s < 2¹⁶ p,    u = 0, ..., 2¹⁶ − 1,    s = 0, 2⁻⁸, ..., 1 − 2⁻⁸

    As u + s is uniform, each draw has its probability to 24 bits. Rows are independent. The
    covariance of two draws that share s is at most 2⁻³⁴, which only rare events see: n units of
    p = 2⁻¹⁷ come with variance n p (1 + n p) in place of n p. The bits are :func:`hashed`, with
    a key from the global generator, so that a compiled step draws the same as one that is not.
    """
    p = probability.detach()
    if p.dtype != torch.float32 or p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    key = torch.randint(LEAST, -1 - LEAST, ())
    rows = (*p.shape[:-1], 1) if p.ndim else ()
    low = torch.randint(MIDDLE * PARTS, (MIDDLE + 1) * PARTS, rows, dtype=p.dtype)
    return below(levels(p.numel(), key).view(p.shape), low.mul_(-1.0 / PARTS), p)


def hashed(place: Int64[Tensor, " places"], key: Int64[Tensor, ""]) -> Int64[Tensor, " places"]:
    """64 random bits for each of some places of a sequence, counted from 1: SplitMix64.

    Source: Steele, Lea & Flood 2014, with the constants of its variant 13 by Stafford.
    """
    return _mixed((place * ODD).add_(key))


def _mixed(z: Tensor) -> Tensor:
    """In place; what is masked are the sign bits that a shift to the right brings in."""
    z.bitwise_xor_((z >> 30).bitwise_and_((1 << 34) - 1)).mul_(FIRST)
    z.bitwise_xor_((z >> 27).bitwise_and_((1 << 37) - 1)).mul_(SECOND)
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


def levels(number: int, key: Int64[Tensor, ""]) -> Tensor:
    """So many numbers of 16 bits, from −2¹⁵ on; compiled kernels hold them in 64.

    Others hash block after block, which stays in the caches.
    """
    if torch.compiler.is_compiling():
        index = torch.arange(number)
        return hashed((index >> 2) + 1, key) >> (index & 3) * 16 << 48 >> 48
    words = torch.empty((number + 3) // 4, dtype=torch.int64)
    for block in words.split(BLOCK):
        _mixed(torch.add(_steps()[: len(block)], key, out=block))
        key = key + BLOCK_STEP
    return words.view(torch.int16)[:number]


@lru_cache(maxsize=1)
def _steps() -> Tensor:
    """What the first block adds to the key."""
    with torch.inference_mode(False):
        return torch.arange(1, BLOCK + 1).mul_(ODD)


def below(levels: Tensor, shift: Tensor, probability: Tensor) -> Tensor:
    """1 where levels − shift < 2¹⁶ p, for levels of 16 bits and a shift of −(2¹⁵ + s)."""
    threshold = torch.add(shift, probability, alpha=LEVELS)
    return torch.lt(levels, threshold, out=threshold)
