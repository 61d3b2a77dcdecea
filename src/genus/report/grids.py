"""Grids of small pictures as PNG files."""

import io

import torch
from PIL import Image
from torch import Tensor

__all__ = ["grid", "png", "scatter"]

GAP = 2
PAPER = 0.5


def grid(pictures: Tensor, columns: int) -> Tensor:
    """Pictures side by side, ``columns`` in a row, on mid-grey paper.

    Args:
        pictures: on [0, 1], shape ``(n, channel, height, width)``.
        columns: how many in a row.

    Returns:
        uint8, shape ``(height, width, 3)``.
    """
    colours = pictures.float().clamp(0, 1)
    colours = colours[:, :3] if colours.shape[1] >= 3 else colours[:, :1].expand(-1, 3, -1, -1)
    n, _, height, width = colours.shape
    across = min(columns, n)
    down = -(-n // across)
    canvas = torch.full((3, down * (height + GAP) - GAP, across * (width + GAP) - GAP), PAPER)
    for number, picture in enumerate(colours):
        top, left = number // across * (height + GAP), number % across * (width + GAP)
        canvas[:, top : top + height, left : left + width] = picture
    return (canvas * 255).round().to(torch.uint8).permute(1, 2, 0)


def scatter(samples: Tensor, real: Tensor, side: int = 240) -> Tensor:
    """Two maps of points in the plane, samples at the left and real data at the right.

    Both are drawn on the range of the real data, widened by a tenth.

    Returns:
        uint8, shape ``(side, 2 · side + gap, 3)``, dark where points are dense.
    """
    low, high = real.amin(0), real.amax(0)
    margin = 0.1 * (high - low).clamp_min(1e-9)
    low, high = low - margin, high + margin
    maps = []
    for points in (samples, real):
        place = ((points - low) / (high - low) * side).floor().long()
        inside = ((place >= 0) & (place < side)).all(1)
        column, row = place[inside, 0], side - 1 - place[inside, 1]
        counts = torch.zeros(side * side).index_add(0, row * side + column, torch.ones(len(row)))
        spread = torch.nn.functional.avg_pool2d(
            counts.reshape(1, 1, side, side), 3, stride=1, padding=1
        )
        maps.append(1 - (spread / spread.max().clamp_min(1e-9)).sqrt()[0])
    return grid(torch.stack(maps), 2)


def png(picture: Tensor) -> bytes:
    """The picture (uint8, ``(height, width, 3)``) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture.numpy()).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
