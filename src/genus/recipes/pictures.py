"""Samples and pictures as files: a grid of pictures, or the numbers themselves."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genus.data import Dataset
from genus.engine import checkpoint
from genus.spaces import Space

__all__ = ["check_kind", "grid", "laid_out", "png", "save_picture", "save_samples", "signed"]

KINDS = (".png", ".npy", ".npz")


def grid(images: Tensor, *, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """One picture of many.

    Args:
        images: uint8, shape ``(n, height, width)`` or ``(n, height, width, 3)``.
        columns: as many as make the grid about square by default.
        gap: grey pixels between two images.
    """
    n, height, width = images.shape[:3]
    across = columns or math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    canvas = np.full(
        (down * (height + gap) + gap, across * (width + gap) + gap, *images.shape[3:]),
        128,
        dtype=np.uint8,
    )
    for number, image in enumerate(images.numpy()):
        top = gap + (number // across) * (height + gap)
        left = gap + (number % across) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def png(picture: np.ndarray) -> bytes:
    """The picture as a PNG file; small ones are enlarged so that a screen shows them."""
    factor = max(1, 560 // max(picture.shape[:2]))
    enlarged = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(enlarged).save(buffer, format="png")
    return buffer.getvalue()


def signed(weights: Tensor) -> Tensor:
    """Numbers of either sign on [0, 1], all on one scale about ½ for 0.

    Black and white are minus and plus the size that 1 % of them exceed, which are clamped.
    """
    most = weights.abs().flatten().float().quantile(0.99).clamp_min(1e-12)
    return (0.5 + weights / (2.0 * most)).clamp(0, 1)


def laid_out(images: Tensor, space: Space, *, columns: int) -> Tensor:
    """One-channel images of a space in rows, the last of them filled up with grey.

    Args:
        images: on [0, 1], of ``space.num_dimensions`` pixels each; values outside are clamped.
        space: of shape ``(1, height, width)``.
        columns: of the layout.

    Returns:
        Shape ``(row, column, height, width)``.
    """
    height, width = space.shape[-2:]
    flat = images.detach().float().cpu().reshape(len(images), height, width).clamp(0, 1)
    across = min(columns, len(flat))
    missing = -len(flat) % across
    filled = torch.cat([flat, torch.full((missing, height, width), 0.5)])
    return filled.reshape(-1, across, height, width)


def save_picture(path: Path, images: Tensor) -> None:
    """Writes a ``.png`` of images in rows.

    Args:
        path: the file.
        images: on [0, 1], shape ``(row, column, height, width)``.

    Raises:
        OSError: where the file cannot be written; nothing is left behind.
    """
    levels = (255 * images).round().to(torch.uint8)
    picture = grid(levels.flatten(0, 1), columns=images.shape[1])
    checkpoint.write_bytes(path, png(picture))


def check_kind(path: Path, data: Dataset | None, option: str = "--out") -> None:
    """Raises ValueError where :func:`save_samples` could not write samples to this path."""
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ValueError(f"{option} must end in {', '.join(KINDS)}, got {path.name!r}")
    if kind == ".png" and (data is None or data.kind != "image"):
        raise ValueError(f"{option}: these data are no pictures; write .npy or .npz, not .png")


def save_samples(path: Path, samples: Tensor, data: Dataset | None) -> None:
    """Writes samples: ``.png`` as a grid, ``.npy`` and ``.npz`` as numbers.

    Args:
        path: its ending says which.
        samples: in the space of the view that the model learnt.
        data: knows how to show them; needed for pictures.

    Raises:
        ValueError: where the ending is none of these, or the data are no pictures.
        OSError: where the file cannot be written; nothing is left behind.
    """
    check_kind(path, data)
    values = samples if data is None else data.to_data(samples)
    if path.suffix.lower() == ".png":
        images = None if data is None else data.base.render(values)
        if images is None:
            raise ValueError("these data cannot be shown; write .npy or .npz instead of .png")
        checkpoint.write_bytes(path, png(grid(images.cpu())))
        return
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(buffer, _array(values), allow_pickle=False)
    else:
        np.savez_compressed(buffer, x=_array(values))
    checkpoint.write_bytes(path, buffer.getvalue())


def _array(values: Tensor) -> np.ndarray:
    kept = values.float() if values.dtype == torch.bfloat16 else values
    return kept.detach().cpu().numpy()
