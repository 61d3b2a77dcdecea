"""The update of SGD, written out so that a compiler can fuse it with the step that leads to it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genus.engine.optimisers import Optimiser

__all__ = ["Move", "move", "moves"]


class Move(NamedTuple):
    """What moves one parameter besides its slope.

    Attributes:
        parameter: θ.
        velocity: v, which the optimiser remembers; None where it has no momentum.
        momentum: α.
        decay: λ of the parameter.
    """

    parameter: nn.Parameter
    velocity: Tensor | None
    momentum: float
    decay: float


def moves(settings: Optimiser, optimiser: torch.optim.Optimizer) -> list[Move] | None:
    """Those of every parameter; None where the update is more than :func:`move` does.

    That is so for Adam, where gradients are clipped or weights are shortened, and until each
    parameter that learns has been moved once by the optimiser itself.
    """
    if settings.name != "sgd" or settings.clip is not None or settings.max_norm is not None:
        return None
    found = []
    for group in optimiser.param_groups:
        momentum, decay = group["momentum"], group["weight_decay"]
        for parameter in group["params"]:
            velocity = optimiser.state.get(parameter, {}).get("momentum_buffer")
            if momentum and velocity is None:
                return None
            found.append(Move(parameter, velocity if momentum else None, momentum, decay))
    return found


@torch.no_grad()
def move(
    slopes: Sequence[tuple[nn.Parameter, Tensor]], wanted: Sequence[Move], rate: Tensor
) -> None:
    """v ← α v + ∇ + λ θ and θ ← θ − η v for every parameter with a slope ∇; η is the rate.

    As ``torch.optim.SGD`` does, in place. Parameters without a Move stay.
    """
    for parameter, slope in slopes:
        for known, velocity, momentum, decay in wanted:
            if known is not parameter:
                continue
            change = slope + decay * parameter if decay else slope
            if velocity is not None:
                change = velocity.mul_(momentum).add_(change)
            parameter.sub_(rate * change)
