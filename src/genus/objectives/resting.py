"""The parameters of a machine while they hold still: for the phases of one step of learning."""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from genus.inference.products import lowered, plus_product

__all__ = ["Resting"]


class Joined(Protocol):
    """Two sides that are joined by weights."""

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter


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

    def activation(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """c + v W, for v as the weights multiply it."""
        return plus_product(self.hidden_bias, v, self.weights)

    def field(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """b + W h."""
        return plus_product(self.visible_bias, h, self.weights.T)
