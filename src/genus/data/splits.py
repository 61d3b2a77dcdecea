"""Which examples train, validate and test: fixed rules, the same on every machine."""

import torch
from torch import Tensor

from genus.engine.seeding import address

__all__ = ["by_position", "mixed", "shuffled"]


def shuffled(
    n: int, *, valid_fraction: float = 0.1, test_fraction: float = 0.1
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of train, valid and test: parts of one fixed permutation of 0 … n − 1.

    The permutation follows from n alone. Each part receives at least one row. The rows of a
    part keep the order of the permutation: data are often stored class by class, and the first
    few of a part must still stand for all of it.

    Raises:
        ValueError: where a fraction is out of range or a part would be empty.
    """
    sizes = _sizes(n, valid_fraction, test_fraction)
    generator = torch.Generator().manual_seed(address(0, "split", n))
    train, valid, test = torch.randperm(n, generator=generator).split(sizes)
    return train, valid, test


def mixed(rows: Tensor) -> Tensor:
    """Rows of a part that is given, in one fixed random order."""
    generator = torch.Generator().manual_seed(address(0, "order", len(rows)))
    return rows[torch.randperm(len(rows), generator=generator)]


def by_position(
    n: int, *, valid_fraction: float = 0.05, test_fraction: float = 0.05
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of train, valid and test in this order, for data in which neighbours depend."""
    train, valid, test = torch.arange(n).split(_sizes(n, valid_fraction, test_fraction))
    return train, valid, test


def _sizes(n: int, valid_fraction: float, test_fraction: float) -> list[int]:
    fractions = {"valid_fraction": valid_fraction, "test_fraction": test_fraction}
    for name, value in fractions.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    valid, test = max(1, round(n * valid_fraction)), max(1, round(n * test_fraction))
    if n - valid - test < 1:
        raise ValueError(
            f"{n} examples cannot be split into train, valid ({valid}) and test ({test}); "
            "give more examples, or smaller parts with --load valid_fraction=0.05 "
            "test_fraction=0.05 (in Python valid_fraction=0.05, test_fraction=0.05)"
        )
    return [n - valid - test, valid, test]
