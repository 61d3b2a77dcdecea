"""Which units of a Boltzmann machine are joined, as plain pairs of numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Pairs", "all_pairs", "checked_pairs", "grid_pairs", "pairs_of"]

Pairs = Sequence[tuple[int, int]]
"""The two ends of every coupling; units are numbered from 0, visible ones first."""


def all_pairs(num_units: int) -> list[tuple[int, int]]:
    """Every unit joined to every other."""
    return [(i, j) for i in range(num_units) for j in range(i + 1, num_units)]


def grid_pairs(height: int, width: int) -> list[tuple[int, int]]:
    """Each unit of a grid, numbered row by row, joined to its neighbours in row and column."""
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, got {height} and {width}")
    number = torch.arange(height * width).reshape(height, width)
    across = torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()], 1)
    down = torch.stack([number[:-1].flatten(), number[1:].flatten()], 1)
    return [(int(i), int(j)) for i, j in torch.cat([across, down]).tolist()]


def pairs_of(mask: Any) -> list[tuple[int, int]]:
    """The pairs that a boolean mask joins.

    Args:
        mask: shape ``(units, units)``, symmetric, false on the diagonal.

    Raises:
        ValueError: where it is not so.
    """
    joined = torch.as_tensor(mask)
    if joined.ndim != 2 or joined.shape[0] != joined.shape[1] or joined.dtype != torch.bool:
        raise ValueError(
            "mask must be boolean, of shape (units, units), "
            f"got {joined.dtype} of shape {tuple(joined.shape)}"
        )
    odd = (joined != joined.T).nonzero()
    if len(odd):
        i, j = odd[0].tolist()
        raise ValueError(
            f"mask must be symmetric, but entries ({i}, {j}) and ({j}, {i}) differ; "
            "couplings have no direction, so take mask | mask.T"
        )
    if bool(joined.diagonal().any()):
        unit = int(joined.diagonal().nonzero()[0])
        raise ValueError(f"mask joins unit {unit} to itself; set its diagonal to False")
    return [(int(i), int(j)) for i, j in joined.triu().nonzero().tolist()]


def checked_pairs(couplings: Any, num_units: int) -> list[tuple[int, int]]:
    """The pairs, the smaller end first.

    Raises:
        ValueError: where they are no pairs of different units, or one comes twice.
    """
    if isinstance(couplings, Tensor):
        raise ValueError("couplings must be pairs of units; take pairs_of(mask)")
    seen: dict[tuple[int, int], None] = {}
    for pair in couplings:
        try:
            low, high = sorted(int(end) for end in pair)
        except (TypeError, ValueError) as error:
            raise ValueError(f"couplings must be pairs of units, got {pair!r}") from error
        if not 0 <= low < high < num_units:
            raise ValueError(
                f"couplings must join two different units of 0 to {num_units - 1}, got {pair!r}"
            )
        if (low, high) in seen:
            raise ValueError(f"couplings join {low} and {high} twice; give each pair once")
        seen[low, high] = None
    return list(seen)
