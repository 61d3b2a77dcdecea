"""Numbers and conditions as vectors that a network can be modulated with."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus import spaces

__all__ = ["ConditionEmbedding", "NoiseEmbedding", "sinusoids"]

HIGHEST_FREQUENCY, LOWEST_FREQUENCY = 8.0, 0.05


def sinusoids(
    position: Float[Tensor, " batch"],
    size: int,
    *,
    lowest: float = LOWEST_FREQUENCY,
    highest: float = HIGHEST_FREQUENCY,
) -> Float[Tensor, "batch size"]:
    """Sines and cosines of a number at frequencies spaced geometrically (Vaswani et al. 2017).

    Args:
        position: the number.
        size: of the vector; even.
        lowest: the smallest frequency, in radians a unit.
        highest: the largest.
    """
    steps = torch.linspace(math.log(lowest), math.log(highest), size // 2)
    angles = position.unsqueeze(1) * steps.exp().to(position)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class NoiseEmbedding(nn.Module):
    """A log signal-to-noise ratio as a vector.

    The ratio, unlike the number of a step, means the same on every path and for any number
    of steps (Kingma et al. 2021).

    Args:
        size: of the vector.
        num_sinusoids: of the features below it; even.
    """

    def __init__(self, size: int, num_sinusoids: int = 32) -> None:
        super().__init__()
        if num_sinusoids < 2 or num_sinusoids % 2:
            raise ValueError(f"num_sinusoids must be even and at least 2, got {num_sinusoids}")
        self.num_sinusoids = num_sinusoids
        self.layers = nn.Sequential(
            nn.Linear(num_sinusoids, size), nn.SiLU(), nn.Linear(size, size)
        )

    def forward(self, log_snr: Float[Tensor, " batch"]) -> Float[Tensor, "batch size"]:
        """The vector."""
        return self.layers(sinusoids(log_snr, self.num_sinusoids))


class ConditionEmbedding(nn.Module):
    """A condition as a vector, and one more vector for "no condition".

    Args:
        space: of the condition: Categorical, one table an entry, summed; or a numeric space.
        size: of the vector.
    """

    def __init__(self, space: spaces.Space, size: int) -> None:
        super().__init__()
        if not isinstance(space, spaces.Categorical | spaces.Numeric):
            raise ValueError(f"condition must be Categorical, Binary, Pixels or Real, got {space}")
        self.space = space
        self.offsets: Tensor
        self.absent = nn.Parameter(torch.randn(size))
        if isinstance(space, spaces.Categorical):
            self.embed: nn.Module = nn.Embedding(space.num_dimensions * space.num_categories, size)
            offsets = torch.arange(space.num_dimensions) * space.num_categories
            self.register_buffer("offsets", offsets, persistent=False)
        else:
            self.embed = nn.Linear(space.num_dimensions, size)

    def forward(self, condition: Tensor, keep: Tensor | None = None) -> Float[Tensor, "batch size"]:
        """The vector of each condition.

        Args:
            condition: shape ``(batch, *space.shape)``.
            keep: booleans ``(batch,)``; where false, the vector is that of "no condition".
        """
        rows = condition.reshape(len(condition), -1)
        if isinstance(self.space, spaces.Numeric):
            vector = self.embed(self.space.to_real(rows).to(self.absent.dtype))
        else:
            vector = self.embed(rows + self.offsets).sum(1)
        return vector if keep is None else torch.where(keep.unsqueeze(1), vector, self.absent)
