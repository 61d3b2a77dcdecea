"""Objectives that have a memory."""

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from genus.engine.algorithm import Info, State
from genus.engine.batches import Batch

__all__ = ["Remembers"]


class Remembers(ABC):
    """An objective with a memory from step to step, such as persistent chains.

    Attributes:
        sharded: names in ``state_dict`` of tensors whose rows are split among processes.
    """

    sharded: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, model: Any, batch: Batch) -> Info:
        """The objective, see :data:`~genus.engine.algorithm.Objective`."""

    @abstractmethod
    def start(self, model: nn.Module, batch_size: int) -> None:
        """Called once before training."""

    @abstractmethod
    def state_dict(self) -> State:
        """The memory."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Takes up a memory."""
