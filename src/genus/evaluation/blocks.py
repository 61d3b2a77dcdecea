"""Data in their unit, block by block, so that a big set is never held as floating point."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from genus.data import Dataset
from genus.data.dataset import Split
from genus.engine.seeding import address, seeded
from genus.evaluation.units import to_units

__all__ = ["level_blocks", "unit_blocks"]


def unit_blocks(
    data: Dataset, split: Split, n: int | None = None, *, block: int = 500, seed: int = 0
) -> Iterator[Tensor]:
    """The first n data of a part in the unit of the data set, float32, one block at a time.

    Args:
        data: the view.
        split: "train", "valid" or "test".
        n: how many; all where None or more than there are.
        block: the most in a block.
        seed: of what training draws anew.

    Raises:
        ValueError: for a space without units.
    """
    source = getattr(data, split)
    left = source.num_examples if n is None else min(n, source.num_examples)
    with contextlib.ExitStack() as ending:
        batches = source.in_order(block)
        if hasattr(batches, "close"):
            ending.callback(batches.close)
        for number, batch in enumerate(batches):
            with seeded(address(seed, "blocks", number), torch.device("cpu")):
                x = source.prepare(batch).x[:left]
            if left > 0:
                yield to_units(data, x)
            left -= len(x)
            if left <= 0:
                return


def level_blocks(levels: Tensor, num_levels: int = 256, *, block: int = 500) -> Iterator[Tensor]:
    """Levels 0 … num_levels − 1, such as 8-bit pictures, on [0, 1], float32, block by block.

    Raises:
        ValueError: where ``levels`` are not whole numbers from 0 to ``num_levels`` − 1.
    """
    for rows in levels.split(block):
        if rows.is_floating_point() or int(rows.min()) < 0 or int(rows.max()) >= num_levels:
            raise ValueError(
                f"levels must be whole numbers from 0 to {num_levels - 1}, got {rows.dtype} "
                f"from {rows.min()} to {rows.max()}"
            )
        yield rows.float() / (num_levels - 1)
