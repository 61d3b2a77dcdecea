"""Values whose gradient is known."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["with_gradient"]


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
