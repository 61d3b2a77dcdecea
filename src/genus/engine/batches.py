"""Where batches come from: the tensors in memory, or anything that yields them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor

from genus.engine.seeding import address
from genus.spaces import Space

__all__ = ["Batch", "Source", "Tensors", "Transform"]

Transform = Callable[[Tensor], Tensor]


class Batch(NamedTuple):
    """Some data and, for a conditional model, what they are conditioned on."""

    x: Tensor
    condition: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        condition = None if self.condition is None else self.condition.to(device, non_blocking=True)
        return Batch(self.x.to(device, non_blocking=True), condition)


class Source(ABC):
    """Examples that can be drawn in batches, each epoch in an order of its own.

    Attributes:
        space: the space of a prepared datum.
        condition: the space of its condition, or None.
        num_examples: how many there are.
    """

    space: Space
    condition: Space | None
    num_examples: int

    @abstractmethod
    def to(self, device: torch.device) -> "Source":
        """A source whose batches lie on ``device`` (in memory: moved once, here)."""

    @property
    def _index_device(self) -> torch.device:
        """Where the indices that ``_batches`` receives shall lie."""
        return torch.device("cpu")

    @abstractmethod
    def _batches(self, chunks: Iterator[Tensor]) -> Iterator[Batch]:
        """The raw batch of each index tensor, in turn."""

    def prepare(self, batch: Batch) -> Batch:
        """The batch as the model sees it; random transforms draw from the global generator."""
        return batch

    @final
    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        skip: int = 0,
        whole: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> Iterator[Batch]:
        """Raw batches of one epoch, whose order follows from ``(seed, epoch)``.

        Args:
            batch_size: over all processes; this one receives its share.
            seed: of the run.
            epoch: counted from 0.
            skip: batches already seen, for a run that is resumed.
            whole: keep the last, smaller batch; else it is dropped.
            rank: of this process.
            world: number of processes.
        """
        size = min(batch_size, self.num_examples)
        if size % world and not whole:
            raise ValueError(f"batch_size {size} cannot be split evenly among {world} processes")
        order_generator = torch.Generator().manual_seed(address(seed, "epoch", epoch))
        order = torch.randperm(self.num_examples, generator=order_generator)
        order = order.to(self._index_device)
        count = -(-self.num_examples // size) if whole else self.num_examples // size
        chunks = (order[i * size : (i + 1) * size] for i in range(skip, count))
        return self._batches(chunk[rank::world] if world > 1 else chunk for chunk in chunks)

    @final
    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Raw batches in their stored order, none dropped."""
        starts = range(0, self.num_examples, batch_size)
        ends = (min(start + batch_size, self.num_examples) for start in starts)
        return self._batches(
            torch.arange(start, end) for start, end in zip(starts, ends, strict=True)
        )

    def batches_per_epoch(self, batch_size: int, *, whole: bool = False) -> int:
        """How many batches :meth:`batches` yields from the start of an epoch."""
        size = min(batch_size, self.num_examples)
        return -(-self.num_examples // size) if whole else self.num_examples // size


class Tensors(Source):
    """Examples held as one tensor: batches are gathered where the tensor lies.

    Args:
        x: all examples as stored, shape ``(num_examples, ...)``.
        space: of a prepared datum.
        condition: what each example is conditioned on, shape ``(num_examples, ...)``.
        condition_space: its space; goes with ``condition``.
        transform: applied to every batch on the device, such as binarisation.
    """

    def __init__(
        self,
        x: Tensor,
        space: Space,
        *,
        condition: Tensor | None = None,
        condition_space: Space | None = None,
        transform: Transform | None = None,
    ) -> None:
        if len(x) == 0:
            raise ValueError("x holds no examples; at least one is needed")
        if (condition is None) != (condition_space is None):
            raise ValueError("condition and condition_space go together; one is missing")
        if condition is not None and len(condition) != len(x):
            raise ValueError(f"{len(x)} examples but {len(condition)} conditions; one each, please")
        self.x, self.labels = x, condition
        self.space, self.condition = space, condition_space
        self.transform = transform
        self.num_examples = len(x)

    def to(self, device: torch.device) -> "Tensors":
        """Moves the examples to ``device`` once."""
        if self.x.device == device:
            return self
        return Tensors(
            self.x.to(device),
            self.space,
            condition=None if self.labels is None else self.labels.to(device),
            condition_space=self.condition,
            transform=self.transform,
        )

    @property
    def _index_device(self) -> torch.device:
        return self.x.device

    def _batches(self, chunks: Iterator[Tensor]) -> Iterator[Batch]:
        for chunk in chunks:
            rows = chunk.to(self.x.device)
            labels = None if self.labels is None else self.labels.index_select(0, rows)
            yield Batch(self.x.index_select(0, rows), labels)

    def prepare(self, batch: Batch) -> Batch:
        """Applies the transform."""
        if self.transform is None:
            return batch
        return Batch(self.transform(batch.x), batch.condition)
