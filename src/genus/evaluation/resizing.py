"""Three ways to resize pictures for a network; FID depends on which (Parmar et al. 2022)."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["RESIZINGS", "Resizing", "resize"]

Resizing = Literal["tf", "torch", "clean"]

RESIZINGS: tuple[Resizing, ...] = get_args(Resizing)
"""The names that :func:`resize` knows."""


def resize(
    x: Float[Tensor, "batch channel height width"], side: int, mode: Resizing
) -> Float[Tensor, "batch channel side side"]:
    """Pictures of any size as squares of ``side`` pixels.

    Args:
        x: any unit; only "clean" may leave the range of the input, as cubics do.
        side: of the result.
        mode: "tf" is the bilinear form of TensorFlow 1, output i at i·size/side, which the
            original FID uses (Heusel et al. 2017); "torch" is bilinear between centres of
            pixels, output i at (i + ½)·size/side − ½, as ports of it to PyTorch use; "clean" is
            bicubic with a filter that widens as the picture shrinks, in floating point, as
            Parmar et al. (2022) recommend.

    Raises:
        ValueError: for another mode.
    """
    if mode == "tf":
        return _from_corners(x, side)
    if mode == "torch":
        return F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
    if mode == "clean":
        return F.interpolate(x, (side, side), mode="bicubic", align_corners=False, antialias=True)
    raise ValueError(f"resizing must be one of {', '.join(RESIZINGS)}, got {mode!r}")


def _from_corners(x: Tensor, side: int) -> Tensor:
    """Bilinear between the corners at the upper left of the pixels, columns first."""
    low, high, share = _neighbours(x.shape[3], side, x)
    x = torch.lerp(x[..., low], x[..., high], share)
    low, high, share = _neighbours(x.shape[2], side, x)
    return torch.lerp(x[:, :, low], x[:, :, high], share[:, None])


def _neighbours(size: int, side: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each output the two inputs that it lies between, and how far from the first."""
    place = torch.arange(side, device=like.device, dtype=torch.float64) * (size / side)
    low = place.floor().long()
    return low, (low + 1).clamp(max=size - 1), (place - low).to(like.dtype)
