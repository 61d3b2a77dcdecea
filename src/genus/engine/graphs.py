"""What of a step of gradient descent is compiled."""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from genus.engine.algorithm import Info
from genus.engine.batches import Batch
from genus.engine.compiled import fused
from genus.engine.known import Known, KnowsGradient
from genus.engine.moves import Move, move

__all__ = ["Graphs"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Graphs(NamedTuple):
    """Compiled functions of one objective.

    Attributes:
        known: what it reports, and its slopes.
        moved: what it reports, after the parameters moved along the slopes.
    """

    known: Callable[[Any, Batch], Known]
    moved: Callable[[Any, Batch, Sequence[Move], Tensor], Info]

    @classmethod
    def of(cls, objective: KnowsGradient) -> "Graphs":
        """Those of an objective, compiled when they are first called."""

        def known(model: Any, batch: Batch) -> Known:
            return objective.known(model, batch)

        def moved(model: Any, batch: Batch, how: Sequence[Move], rate: Tensor) -> Info:
            info, slopes = objective.known(model, batch)
            move(slopes, how, rate)
            return info

        return cls(fused(_apart(known)), fused(_apart(moved)))


def _apart(function: Function) -> Function:
    """The function with a code object of its own.

    Torch keeps what it compiled by these, eight graphs for each, and before 2.13 all objectives
    would share them.
    """
    assert isinstance(function, FunctionType)
    code, names = function.__code__.replace(), function.__globals__
    own: Any = FunctionType(code, names, function.__name__, None, function.__closure__)
    return own
