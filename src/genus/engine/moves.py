"""The update of SGD, written out so that a compiler can fuse it with the step that leads to it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genus.engine.algorithm import Info
from genus.engine.batches import Batch
from genus.engine.known import Traceable
from genus.engine.optimisers import Optimiser

__all__ = ["Move", "StepsWhole", "move", "moves"]


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


class StepsWhole(Traceable):
    """An objective that may have a kernel for a whole step, the update included."""

    def whole_step(self, model: Any, batch: Batch, how: Sequence[Move], rate: float) -> Info | None:
        """Moves the parameters, as :func:`move` would along its slopes.

        Returns:
            What it reports; None, with nothing done, where it has no kernel for such a step.
        """
        return None


def moves(settings: Optimiser, optimiser: torch.optim.Optimizer) -> list[Move] | None:
    """How the parameters that learn now are to be moved; None where :func:`move` cannot do it.

    That is so for Adam, where gradients are clipped or weights are shortened, and where nothing
    learns. Velocities that the optimiser has not yet begun are begun at 0.
    """
    if settings.name != "sgd" or settings.clip is not None or settings.max_norm is not None:
        return None
    found = []
    for group in optimiser.param_groups:
        momentum, decay = group["momentum"], group["weight_decay"]
        for parameter in group["params"]:
            if parameter.requires_grad:
                velocity = _velocity(optimiser, parameter) if momentum else None
                found.append(Move(parameter, velocity, momentum, decay))
    return found or None


def _velocity(optimiser: torch.optim.Optimizer, parameter: nn.Parameter) -> Tensor:
    state = optimiser.state[parameter]
    if state.get("momentum_buffer") is None:
        state["momentum_buffer"] = torch.zeros_like(parameter)
    velocity: Tensor = state["momentum_buffer"]
    return velocity


@torch.no_grad()
def move(slopes: Sequence[tuple[nn.Parameter, Tensor]], how: Sequence[Move], rate: Tensor) -> None:
    """v ← α v + ∇ + λ θ and θ ← θ − η v for every parameter with a slope ∇; η is the rate.

    As ``torch.optim.SGD`` does, in place. A parameter without a Move stays.
    """
    for parameter, slope in slopes:
        for _, velocity, momentum, decay in _those_of(parameter, how):
            change = slope + decay * parameter if decay else slope
            if velocity is not None:
                change = velocity.mul_(momentum).add_(change)
            parameter.sub_(rate * change)


def _those_of(parameter: nn.Parameter, how: Sequence[Move]) -> list[Move]:
    """One Move, or none; parameters are told apart as objects, not by their values."""
    return [each for each in how if each.parameter is parameter]
