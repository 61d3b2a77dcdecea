"""Images of another size: cropped about their centre, then scaled."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genus.data.dataset import Dataset, Part, Parts
from genus.data.stores import InMemory, Store
from genus.spaces import Pixels

__all__ = ["check_size", "resized"]

CHUNK = 1000


def resized(data: Dataset, size: int | tuple[int, int]) -> Dataset:
    """Images of levels, cropped about their centre to the new shape and scaled.

    The filter is Pillow's Lanczos, as for a folder of images: a matrix A for each side, and
    the image becomes A_h x A_wᵀ, clamped after each product to the range of the levels, and
    rounded.

    Args:
        data: images of levels.
        size: height and width, or one number for both.

    Raises:
        ValueError: where the data are no images of levels, or the size is none.

    Example:
        >>> import genus
        >>> resized(genus.data.load("digits"), 6).space
        Pixels(shape=(1, 6, 6), num_levels=17)
    """
    space = data.stored_space
    if data.kind != "image" or not isinstance(space, Pixels) or len(space.shape) != 3:
        raise ValueError(
            f"resize is for images of levels, {data.name} lies in {space}; drop resize"
        )
    checked = check_size(size)
    parts = [Part(_scaled(p.store, checked, space.num_levels), p.labels) for p in data.parts]
    new = Pixels((space.shape[0], *checked), space.num_levels)
    return replace(data, stored_space=new, parts=Parts(*parts), truth=None)


def check_size(size: object) -> tuple[int, int]:
    """Height and width from one number for both, or from two.

    Raises:
        ValueError: where it is neither, or not positive.
    """
    pair = (size, size) if isinstance(size, int) else size
    if isinstance(pair, tuple | list) and len(pair) == 2:
        height, width = pair
        whole = all(isinstance(side, int) and not isinstance(side, bool) for side in pair)
        if whole and min(height, width) >= 1:
            return int(height), int(width)
    raise ValueError(f"resize must be a size or (height, width) in pixels, got {size!r}")


def _scaled(store: Store, size: tuple[int, int], num_levels: int) -> Store:
    """At once where the examples are in memory, else as they are read."""
    lazy = Scaled(store, size, num_levels)
    if not isinstance(store, InMemory):
        return lazy
    chunks = torch.arange(store.num_examples).split(CHUNK)
    return InMemory(torch.cat([lazy.read(rows) for rows in chunks]))


class Scaled(Store):
    """Images of another store, scaled as they are read.

    Args:
        store: of levels, shape ``(channel, height, width)`` each.
        size: the new height and width.
        num_levels: of a pixel.
    """

    def __init__(self, store: Store, size: tuple[int, int], num_levels: int) -> None:
        self.store, self.size, self.num_levels = store, size, num_levels
        self.num_examples = store.num_examples
        self.num_bytes = store.num_examples * self.read(torch.zeros(1, dtype=torch.int64)).numel()

    def read(self, rows: Tensor) -> Tensor:
        """Read there, scaled here."""
        return self._scale(self.store.read(rows))

    def take(self, rows: Tensor) -> "Scaled":
        """Fewer of the same images."""
        return Scaled(self.store.take(rows), self.size, self.num_levels)

    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read ahead there, scaled here."""
        for chunk, x in self.store.stream(chunks):
            yield chunk, self._scale(x)

    def to(self, device: torch.device) -> "Scaled":
        """The other store on a device, where it can live there."""
        return Scaled(self.store.to(device), self.size, self.num_levels)

    def _scale(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) == self.size:
            return x
        down, across = (torch.from_numpy(m).to(x.device) for m in _filters(x.shape[-2:], self.size))
        top = self.num_levels - 1
        wide = (x.float() @ across.T).clamp_(0, top)
        return (down @ wide).round_().clamp_(0, top).to(x.dtype)


@cache
def _filters(old: tuple[int, int], new: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A_h and A_w: the crop of the new shape about the centre, then Lanczos."""
    ratio = min(old[0] / new[0], old[1] / new[1])
    return _filter(old[0], new[0], ratio), _filter(old[1], new[1], ratio)


def _filter(old: int, new: int, ratio: float) -> np.ndarray:
    """What scaling makes of the unit vectors, shape ``(new, old)``."""
    margin = (old - ratio * new) / 2
    units = Image.fromarray(np.eye(old, dtype=np.float32))
    box = (0.0, margin, float(old), old - margin)
    return np.array(units.resize((old, new), Image.Resampling.LANCZOS, box=box))
