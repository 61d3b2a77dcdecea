"""Large, uneven weights: a tame instance hides transposed matrices and lost chains."""

import math
from typing import TypeVar

import torch
from torch import nn

__all__ = ["stiffen"]

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def stiffen(model: M, scale: float = 1.5, seed: int = 0) -> M:
    """Replaces every parameter by large, uneven values, the same for the same seed.

    A matrix becomes scale · rᵢ · N(0, 1) / √fan-in, where the factors rᵢ run from 0.4 to 1.6
    over its rows; a vector or a number scale · rᵢ · N(0, 1) / 2. Each parameter's draws follow
    from its name, so that one more parameter changes no other.

    Args:
        model: changed in place, and returned.
        scale: 1 gives inputs of unit size answers of unit size; 3 is stiff.
        seed: of the draws.
    """
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        place = sum((i + 1) * ord(letter) for i, letter in enumerate(name))
        generator = torch.Generator().manual_seed(7919 * seed + place)
        draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        rows = parameter.shape[0] if parameter.ndim else 1
        factors = torch.linspace(0.4, 1.6, rows, dtype=torch.float64) if rows > 1 else torch.ones(1)
        fan_in = math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 2.0
        values = draws.reshape(rows, -1) * factors.unsqueeze(1) * (scale / fan_in)
        parameter.copy_(values.reshape(parameter.shape))
    return model
