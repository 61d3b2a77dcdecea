"""Steps from stored examples to what a model sees, batched and on the device."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.data.noise import Noise
from genus.spaces import Binary, Numeric, Real, Space

__all__ = ["Binarise", "Dequantise", "Floats", "Step"]

NOISE_LEVELS = 1 << 12


class Step(ABC):
    """One step of a view.

    Attributes:
        redraw: whether training draws anew for every batch; the validation and test parts,
            and training where this is false, keep one fixed draw for each example.
    """

    redraw: bool = False

    @abstractmethod
    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """The step, applied to a batch."""

    @abstractmethod
    def space(self, before: Space) -> Space:
        """The space after the step."""


@dataclass(frozen=True)
class Floats(Step):
    """Zeros and ones stored as bytes become floats."""

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """The same numbers in the default floating dtype."""
        return x.to(torch.get_default_dtype())

    def space(self, before: Space) -> Space:
        """Unchanged."""
        return before


@dataclass(frozen=True)
class Binarise(Step):
    """Takes each level as a probability: x ~ Bernoulli(level / (levels − 1)).

    Salakhutdinov & Murray 2008. With ``redraw`` this is *dynamic* binarisation, which draws
    anew in every epoch of training; without it *static* binarisation, one draw for all time.
    """

    levels: int
    redraw: bool = True

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """Zeros and ones in the default floating dtype."""
        return noise.bits(x, self.levels - 1)

    def space(self, before: Space) -> Space:
        """Binary, of the same shape."""
        return Binary(before.shape)


@dataclass(frozen=True)
class Dequantise(Step):
    """Fills the gaps between levels: y = (x + u) / levels with u uniform in (0, 1).

    A density of y bounds the probability of x (Theis et al. 2016):
    log P(x) ≥ E log p(y) − D log levels. The noise lies on a grid of 4096 midpoints, so that
    rounding never carries y over the edge of its level.
    """

    levels: int
    redraw: bool = True

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """Reals in (0, 1)."""
        uniform = noise.uniform(x[0].numel()).reshape(x.shape)
        middle = ((uniform * NOISE_LEVELS).floor() + 0.5) / NOISE_LEVELS
        return ((x + middle) / self.levels).to(torch.get_default_dtype())

    def space(self, before: Space) -> Space:
        """Real, of the same shape."""
        return Real(before.shape)

    def invert(self, y: Tensor, space: Space) -> Tensor:
        """The datum in ``space`` whose level each entry of y lies in."""
        levels = (y * self.levels).floor().clamp(0, self.levels - 1)
        return levels if space.dtype is None else levels.to(space.dtype)

    def log_volume(self, space: Space) -> float:
        """−D log levels, in nats."""
        return -space.num_dimensions * math.log(self.levels)


def levels_of(space: Space) -> int:
    """The number of levels of a space that can be dequantised.

    Raises:
        ValueError: where the space has no levels.
    """
    if not isinstance(space, Numeric) or space.levels is None:
        raise ValueError(
            f"only Binary and Pixels data can be dequantised, these lie in {space}; "
            "use a model over that space"
        )
    return space.levels
