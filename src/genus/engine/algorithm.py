"""How a model learns: who is updated, in which order, with which memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from genus.engine.batches import Batch
from genus.engine.budget import Budget, Progress

__all__ = ["Algorithm", "Info", "Objective", "State"]

Info = dict[str, Tensor]
"""What a step reports: detached scalars by name; ``"loss"`` is always among them."""

Objective = Callable[[Any, Batch], Info]
"""A scalar to minimise, under ``"loss"`` (the batch mean), beside other scalars to report."""

State = dict[str, Any]
"""Nested dictionaries and lists of tensors, numbers, strings and None."""


class Algorithm(ABC):
    """What moves a model towards data.

    The life of an algorithm: ``start`` once, ``step`` for every batch, ``end_epoch`` after
    every pass over the data, ``finish`` once. Everything that the next step depends on and
    that the model does not hold is in ``state_dict``.

    Attributes:
        batch_size: examples a step, over all processes.
        budget: how long it learns where nobody says otherwise.
        uses_every_example: whether the last, smaller batch of an epoch counts.
        finished: set by an algorithm that has nothing left to do.
        sharded: names in ``state_dict`` of tensors whose rows are split among processes.
    """

    batch_size: int = 128
    budget: Budget = Budget(epochs=10)
    uses_every_example: bool = False
    finished: bool = False
    sharded: tuple[str, ...] = ()

    @abstractmethod
    def start(self, model: nn.Module) -> None:
        """Binds the algorithm to the model (already on its device)."""

    @abstractmethod
    def step(self, batch: Batch, progress: Progress) -> Info:
        """Learns from one batch."""

    def end_epoch(self, progress: Progress) -> Info:
        """Called after each pass over the data."""
        return {}

    def finish(self) -> None:  # noqa: B027 - most algorithms have nothing to leave
        """Called once at the end: leaves in the model what it shall answer with."""

    def answers(self) -> dict[str, Tensor]:
        """Parameters to answer with now, where they differ from those being trained (EMA)."""
        return {}

    @abstractmethod
    def state_dict(self) -> State:
        """The memory of the algorithm."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Takes up a memory; ``start`` has been called."""
