"""The parameters of a machine while they hold still: for the phases of one step of learning."""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from genus.inference.products import lowered, plus_product

__all__ = ["Resting", "is_whole"]

MOST_WHOLE = 1 << 8
"""Of the whole numbers, bfloat16 holds all up to here."""


class Joined(Protocol):
    """Two sides that are joined by weights."""

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter


class Countable(Protocol):
    """Units with so many values, 0, 1, …; None where they are a continuum."""

    num_values: int | None


def is_whole(units: Countable) -> bool:
    """Whether their values are whole numbers that any precision of products holds as they are."""
    return units.num_values is not None and units.num_values <= MOST_WHOLE + 1


@dataclass(frozen=True)
class Resting:
    """W, b and c, with W in the precision of products: see :mod:`genus.inference.products`.

    Attributes:
        weights: W, shape ``(visible, hidden)``.
        visible_bias: b.
        hidden_bias: c.
    """

    weights: Float[Tensor, "visible hidden"]
    visible_bias: Float[Tensor, " visible"]
    hidden_bias: Float[Tensor, " hidden"]

    @classmethod
    def of(cls, machine: Joined) -> "Resting":
        """The parameters as they are now."""
        biases = machine.visible_bias.detach(), machine.hidden_bias.detach()
        return cls(lowered(machine.weights), *biases)

    def rows(self, units: Countable, x: Float[Tensor, "batch units"]) -> Tensor:
        """Units in the precision of W, where it holds them as they are; else unchanged."""
        return x.to(self.weights.dtype) if is_whole(units) else x

    def activation(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """c + v W, for v as the weights multiply it."""
        return plus_product(self.hidden_bias, v, self.weights)

    def field(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """b + W h."""
        return plus_product(self.visible_bias, h, self.weights.T)
