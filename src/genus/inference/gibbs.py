"""Draws for Gibbs sampling in blocks of binary units."""

import torch
from torch import Tensor

__all__ = ["bernoulli"]

LEVELS = 1 << 16
MIDDLE = 1 << 15
PARTS = 1 << 8


def bernoulli(probability: Tensor) -> Tensor:
    """Draws of 0 or 1, as floats; carries no gradient.

    In float32 on a CPU, where random numbers cost more than a matrix product, four of 16 bits
    come from each of 64, and those of a row (along the last dimension) share 8 lower bits s:

        x = 1  where  u + s < 2¹⁶ p,    u = 0, ..., 2¹⁶ − 1,    s = 0, 2⁻⁸, ..., 1 − 2⁻⁸

    As u + s is uniform, each draw has its probability to 24 bits. Rows are independent. The
    covariance of two draws that share s is at most 2⁻³⁴, which only rare events see: n units of
    p = 2⁻¹⁷ come with variance n p (1 + n p) in place of n p.
    """
    p = probability.detach()
    if p.dtype != torch.float32 or p.device.type != "cpu":
        return torch.rand_like(p).lt_(p)
    bits = torch.empty((p.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    levels = bits.view(torch.int16)[: p.numel()].view(p.shape)
    rows = (*p.shape[:-1], 1) if p.ndim else ()
    low = torch.empty(rows, dtype=p.dtype).random_(MIDDLE * PARTS, (MIDDLE + 1) * PARTS)
    return below(levels, low.mul_(-1.0 / PARTS), p)


def below(levels: Tensor, shift: Tensor, probability: Tensor) -> Tensor:
    """1 where levels − shift < 2¹⁶ p, for levels of int16 and a shift of −(2¹⁵ + s)."""
    threshold = torch.add(shift, probability, alpha=LEVELS)
    return torch.lt(levels, threshold, out=threshold)
