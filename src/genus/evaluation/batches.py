"""Rows in batches, as many as the time allows."""

import math
import time
from collections.abc import Callable, Iterator

from genus.engine.counts import check_count

__all__ = ["Progress", "row_batches"]

Progress = Callable[[int, int], None]
"""Told after each batch how many rows are done, of how many."""


def row_batches(
    num_rows: int, batch_size: int, seconds: float = math.inf, progress: Progress | None = None
) -> Iterator[slice]:
    """Slices that cover ``num_rows``, the last perhaps shorter; none after ``seconds``.

    The time counts from the first batch, which is always given.

    Raises:
        ValueError: where ``batch_size`` is not positive, or ``seconds`` negative or NaN.
    """
    check_count("batch_size", batch_size)
    if not seconds >= 0:
        raise ValueError(f"seconds must be at least 0, got {seconds!r}; math.inf means no limit")
    clock = time.perf_counter()
    for start in range(0, num_rows, batch_size):
        stop = min(start + batch_size, num_rows)
        yield slice(start, stop)
        if progress is not None:
            progress(stop, num_rows)
        if time.perf_counter() - clock > seconds:
            return
