"""Sums over every binary vector: the judge of all estimates, where there are few enough."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["MOST_UNITS", "binary_chunks", "log_sum"]

MOST_UNITS = 25
CHUNK = 1 << 12


def binary_chunks(
    num_units: int, *, device: torch.device | None = None, chunk: int = CHUNK
) -> Iterator[Tensor]:
    """All of {0, 1}^num_units in counting order, ``chunk`` rows at a time, in float64.

    Args:
        num_units: length of a row, the first unit counting most.
        device: where the rows are made.
        chunk: most rows at a time.

    Raises:
        ValueError: for more than 25 units (33 million rows).
    """
    if not 1 <= num_units <= MOST_UNITS:
        raise ValueError(
            f"num_units must be 1 to {MOST_UNITS} for a sum over all 2^num_units vectors, "
            f"got {num_units}; estimate the sum instead"
        )
    shifts = torch.arange(num_units - 1, -1, -1, device=device)
    for start in range(0, 1 << num_units, chunk):
        codes = torch.arange(start, min(start + chunk, 1 << num_units), device=device)
        yield ((codes.unsqueeze(1) >> shifts) & 1).double()


def log_sum(
    function: Callable[[Tensor], Tensor], num_units: int, *, device: torch.device | None = None
) -> Tensor:
    """Log Σₓ exp f(x) over all x in {0, 1}^num_units, in float64.

    Args:
        function: f, from rows ``(chunk, num_units)`` in float64 to values ``(chunk,)``.
        num_units: length of x.
        device: where the sum is taken.

    Raises:
        ValueError: for more than 25 units.
    """
    total = torch.full((), -torch.inf, dtype=torch.float64, device=device)
    for rows in binary_chunks(num_units, device=device):
        total = torch.logaddexp(total, torch.logsumexp(function(rows), 0))
    return total
