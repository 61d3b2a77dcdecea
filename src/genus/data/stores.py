"""Where stored examples lie: one tensor in memory, or files that are read as they are needed."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import numpy as np
import torch
from torch import Tensor

__all__ = ["Conversion", "InMemory", "Mapped", "Store", "Streamed"]

CHUNK = 256


class Store(ABC):
    """Examples as they are stored, addressed by row.

    Attributes:
        num_examples: how many there are.
        num_bytes: what they take as one tensor.
    """

    num_examples: int
    num_bytes: int

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """The examples of these rows, shape ``(len(rows), ...)``."""

    @abstractmethod
    def take(self, rows: Tensor) -> "Store":
        """A store of these rows only."""

    @abstractmethod
    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each index tensor with its examples, in turn."""

    @abstractmethod
    def to(self, device: torch.device) -> "Store":
        """The store on a device, where it can live there."""


class InMemory(Store):
    """One tensor."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.num_examples = len(x)
        self.num_bytes = x.numel() * x.element_size()

    def read(self, rows: Tensor) -> Tensor:
        """Gathered where the tensor lies; row by row, which is twice as fast as by an index."""
        return self.x.index_select(0, rows.to(self.x.device))

    def take(self, rows: Tensor) -> "InMemory":
        """A copy of these rows."""
        return InMemory(self.x[rows])

    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """No work ahead: gathering is faster than any queue."""
        for chunk in chunks:
            yield chunk, self.read(chunk)

    def to(self, device: torch.device) -> "InMemory":
        """Moved once; stays in main memory where it would fill more than half of a GPU."""
        if self.x.device == device:
            return self
        if device.type == "cuda" and self.num_bytes > torch.cuda.mem_get_info(device)[0] // 2:
            return self
        return InMemory(self.x.to(device))


class Streamed(Store):
    """Examples outside memory, read by threads a few batches ahead.

    Memory is bounded by ``2 workers + 1`` batches. Order and content do not depend on the
    threads: batches come in the order in which they were asked for.

    Attributes:
        workers: reading threads (decoding releases the interpreter's lock).
        rows: of the underlying files that this store consists of.
    """

    rows: Tensor
    workers: int

    @abstractmethod
    def _restricted(self, rows: Tensor) -> "Streamed":
        """The same files with other rows."""

    @abstractmethod
    def _read(self, rows: Tensor) -> Tensor:
        """The examples of these rows of the underlying files."""

    @final
    def read(self, rows: Tensor) -> Tensor:
        """Reads at once, in this thread."""
        return self._read(self.rows[rows])

    @final
    def take(self, rows: Tensor) -> "Streamed":
        """The same files, fewer rows."""
        return self._restricted(self.rows[rows])

    @final
    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads ahead with a bounded queue."""
        waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="genus-reader")
        try:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(self.read, chunk)))
                if len(waiting) > 2 * self.workers:
                    yield _result(waiting)
            while waiting:
                yield _result(waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    @final
    def to(self, device: torch.device) -> "Streamed":
        """Files stay where they are; batches are moved."""
        return self

    @final
    def loaded(self) -> InMemory:
        """All examples as one tensor, filled in place as they are read."""
        chunks = torch.arange(self.num_examples).split(CHUNK)
        first = self.read(chunks[0][:1])
        whole = torch.empty((self.num_examples, *first.shape[1:]), dtype=first.dtype)
        for chunk, x in self.stream(iter(chunks)):
            whole[chunk] = x
        return InMemory(whole)


class Conversion(ABC):
    """From rows of an array to examples."""

    @abstractmethod
    def __call__(self, values: np.ndarray, rows: np.ndarray) -> Tensor:
        """Examples; ``rows`` are the numbers of the rows, for errors."""


class Mapped(Streamed):
    """Rows of an array on disk, which the system pages in and out.

    Args:
        array: memory-mapped, shape ``(n, ...)``.
        rows: that this store consists of; all by default.
        convert: from rows of the array to examples.
        workers: reading threads.
    """

    def __init__(
        self,
        array: np.ndarray,
        convert: Conversion,
        rows: Tensor | None = None,
        *,
        workers: int = 2,
    ) -> None:
        self.array, self.convert, self.workers = array, convert, workers
        self.rows = torch.arange(len(array)) if rows is None else rows
        self.num_examples = len(self.rows)
        example = convert(array[:1], np.zeros(1, np.int64))
        self.num_bytes = self.num_examples * example.numel() * example.element_size()

    def _restricted(self, rows: Tensor) -> "Mapped":
        return Mapped(self.array, self.convert, rows, workers=self.workers)

    def _read(self, rows: Tensor) -> Tensor:
        # ascending reads are sequential on disk; `back` puts the rows where they were asked for
        order = rows.argsort()
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        ascending = rows[order].numpy()
        return self.convert(self.array[ascending], ascending)[back]


def _result(waiting: deque[tuple[Tensor, Future[Tensor]]]) -> tuple[Tensor, Tensor]:
    chunk, future = waiting.popleft()
    return chunk, future.result()
