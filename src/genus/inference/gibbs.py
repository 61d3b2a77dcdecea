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
MANY = 1 << 15
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
    p = 2⁻¹⁷ come with variance n p (1 + n p) in place of n p. A compiled step draws the same as
    one that is not.
    """
    p = probability.detach()
    if p.dtype != torch.float32 or p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    rows = (*p.shape[:-1], 1) if p.ndim else ()
    low = torch.randint(MIDDLE * PARTS, (MIDDLE + 1) * PARTS, rows, dtype=p.dtype, device=p.device)
    return below(levels(p.numel(), p.device).view(p.shape), low.mul_(-1.0 / PARTS), p)


def levels(number: int, device: torch.device) -> Tensor:
    """So many numbers of 16 random bits, from −2¹⁵ on: four of each word of 64.

    Few words come from the global generator, many are :func:`hashed` with a key from there,
    which is spread over cores and can be fused with what uses them.
    """
    num_words = (number + 3) // 4
    if number < MANY:
        words = torch.randint(LEAST, -1 - LEAST, (num_words,), device=device)
    else:
        key = torch.randint(LEAST, -1 - LEAST, (), device=device)
    if not torch.compiler.is_compiling():
        words = words if number < MANY else blocks(num_words, key)
        return words.view(torch.int16)[:number]
    index = torch.arange(number, device=device)
    place = index >> 2
    mine = words[place] if number < MANY else hashed(place + 1, key)
    return mine >> (index & 3) * 16 << 48 >> 48


def hashed(
    place: Int64[Tensor, "*places"], key: Int64[Tensor, ""] | int
) -> Int64[Tensor, "*places"]:
    """64 random bits for each of some places of a sequence, counted from 1: SplitMix64.

    Source: Steele, Lea & Flood 2014, with the constants of its variant 13 by Stafford.
    """
    return _mixed((place * ODD).add_(key))


def _mixed(z: Tensor) -> Tensor:
    """In place; what is masked are the sign bits that a shift to the right brings in."""
    z.bitwise_xor_((z >> 30).bitwise_and_((1 << 34) - 1)).mul_(FIRST)
    z.bitwise_xor_((z >> 27).bitwise_and_((1 << 37) - 1)).mul_(SECOND)
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


def blocks(number: int, key: Int64[Tensor, ""]) -> Int64[Tensor, " words"]:
    """Bits hashed at the places from 1 on, block after block, which stays in the caches."""
    words = torch.empty(number, dtype=torch.int64, device=key.device)
    for block in words.split(BLOCK):
        _mixed(torch.add(_steps(key.device)[: len(block)], key, out=block))
        key = key + BLOCK_STEP
    return words


@lru_cache(maxsize=1)
def _steps(device: torch.device) -> Tensor:
    """What the first block adds to the key."""
    with torch.inference_mode(False):
        return torch.arange(1, BLOCK + 1, device=device).mul_(ODD)


def below(levels: Tensor, shift: Tensor, probability: Tensor) -> Tensor:
    """1 where levels − shift < 2¹⁶ p, for levels of 16 bits and a shift of −(2¹⁵ + s)."""
    threshold = torch.add(shift, probability, alpha=LEVELS)
    return torch.lt(levels, threshold, out=threshold)
