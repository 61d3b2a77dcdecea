"""Data of an image space as pictures."""

import torch
from torch import Tensor

from genus.spaces import Space

__all__ = ["render"]


def render(x: Tensor, space: Space, limits: tuple[float, float]) -> Tensor | None:
    """Images, or means of images, as bytes.

    Args:
        x: shape ``(n, channel, height, width)``, or flat; values outside are clamped.
        space: of x; one channel is grey, three or more are colours.
        limits: the values that become black and white.

    Returns:
        uint8, shape ``(n, height, width)`` or ``(n, height, width, 3)``; None for two channels.
    """
    low, high = limits
    channels = space.shape[0]
    if channels == 2:
        return None
    images = x.detach().cpu().float().reshape(-1, *space.shape)
    scaled = (images - low) * (255.0 / max(high - low, 1e-12))
    grey = torch.nan_to_num(scaled).round().clamp(0, 255).to(torch.uint8)
    return grey[:, 0] if channels == 1 else grey[:, :3].permute(0, 2, 3, 1).contiguous()
