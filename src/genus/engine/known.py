"""Objectives that know their gradient, so that a step needs no autograd."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from genus.engine.algorithm import Info
from genus.engine.batches import Batch

__all__ = ["Known", "KnowsGradient", "Traceable", "with_gradient"]


class Known(NamedTuple):
    """What an objective reports, and its gradient.

    Attributes:
        info: with the loss, without history.
        slopes: pairs of a parameter and the slope of the loss, each parameter at most once. A
            slope has the shape and dtype of its parameter and memory of its own: whoever asked
            may write into it.
    """

    info: Info
    slopes: Sequence[tuple[nn.Parameter, Tensor]]


class KnowsGradient(ABC):
    """An objective that finds its gradient itself."""

    @abstractmethod
    def known(self, model: Any, batch: Batch) -> Known:
        """The objective and its slopes."""

    @final
    def __call__(self, model: Any, batch: Batch) -> Info:
        """The objective, whose loss has the gradient that is known."""
        info, slopes = self.known(model, batch)
        return {**info, "loss": with_gradient(info["loss"], *slopes)}


class Traceable(KnowsGradient):
    """One that never turns by the value of what it drew, so that a compiler can follow it."""


def with_gradient(value: Tensor, *slopes: tuple[Tensor, Tensor]) -> Tensor:
    """A value whose gradient is given: pairs of a parameter and its slope. Costs no product."""
    parameters, given = zip(*slopes, strict=True)
    found: Tensor = _Given.apply(value.detach(), len(slopes), *given, *parameters)
    return found


class _Given(torch.autograd.Function):
    """Hands slopes on as the gradient of a scalar."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, number: int, *rest: Tensor) -> Tensor:
        """Passes the value on and keeps the slopes, which stand before the parameters."""
        pairs = zip(rest[:number], rest[number:], strict=True)
        ctx.save_for_backward(*(slope.detach().to(parameter) for slope, parameter in pairs))
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """The slopes, times the gradient from above."""
        slopes = [slope * outputs[0] for slope in ctx.saved_tensors]
        return (None, None, *[None] * len(slopes), *slopes)
