"""Random changes of training images that leave their meaning as it is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.data.noise import Noise
from genus.data.steps import Step
from genus.spaces import Space

__all__ = ["Flip", "Shift"]


@dataclass(frozen=True)
class Flip(Step):
    """Mirrors each image left to right with a probability.

    Attributes:
        probability: of being mirrored.
    """

    probability: float = 0.5
    redraw: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be 0 to 1, got {self.probability}")

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """The images, some of them mirrored."""
        chosen = noise.uniform(1).reshape(-1, 1, 1, 1) < self.probability
        return torch.where(chosen, x.flip(-1), x)

    def space(self, before: Space) -> Space:
        """Unchanged."""
        return before


@dataclass(frozen=True)
class Shift(Step):
    """Moves each image by up to ``most`` pixels in either direction: pad, then crop at random.

    Attributes:
        most: largest shift, in pixels.
        fill: the level of the padding.
    """

    most: int
    fill: int = 0
    redraw: bool = True

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most must be at least 1 pixel, got {self.most}")

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """The images, each moved by its own whole number of pixels."""
        n, channels, height, width = x.shape
        padded = F.pad(x, [self.most] * 4, value=self.fill)
        offset = (noise.uniform(2) * (2 * self.most + 1)).long()
        rows = offset[:, :1] + torch.arange(height, device=x.device)
        columns = offset[:, 1:] + torch.arange(width, device=x.device)
        picked = padded.gather(2, rows[:, None, :, None].expand(n, channels, -1, padded.shape[3]))
        return picked.gather(3, columns[:, None, None, :].expand(n, channels, height, -1))

    def space(self, before: Space) -> Space:
        """Unchanged."""
        return before
