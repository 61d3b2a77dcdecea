"""Data in their unit, block by block: what is stored is never held twice."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from genus.data import Dataset
from genus.data.dataset import Split
from genus.engine.seeding import address, seeded
from genus.evaluation.units import to_units

__all__ = ["unit_blocks"]


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
