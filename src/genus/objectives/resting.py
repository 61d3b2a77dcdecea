"""The parameters of a machine while they hold still: for the phases of one step of learning."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.inference.products import lowered, plus_product, product

__all__ = ["Resting", "Slopes", "centred_slopes"]


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


class Slopes(NamedTuple):
    """ΔW, Δb and Δc."""

    weights: Float[Tensor, "visible hidden"]
    visible_bias: Float[Tensor, " visible"]
    hidden_bias: Float[Tensor, " hidden"]


def centred_slopes(
    visible: Float[Tensor, "rows visible"],
    hidden: Float[Tensor, "rows hidden"],
    share: Float[Tensor, " rows"],
    visible_offset: Float[Tensor, " visible"],
    hidden_offset: Float[Tensor, " hidden"],
    like: Tensor,
) -> Slopes:
    """The contrast of two phases in coordinates centred at μ and λ, carried back.

        ΔW = ⟨(v − μ)(h − λ)ᵀ⟩    Δb = ⟨v⟩ − ΔW λ    Δc = ⟨h⟩ − ΔWᵀμ,    ⟨·⟩ = Σ share ·

    As the shares add up to 0, ⟨v⟩ = ⟨v − μ⟩ and ⟨h⟩ = ⟨h − λ⟩, and as ΔW is of the rank of the
    batch, the corrections cost less by the rows than by ΔW.

    Args:
        visible: v of data and chains, as the weights multiply it.
        hidden: h of them, or its mean.
        share: of each row, with sum 0.
        visible_offset: μ.
        hidden_offset: λ.
        like: in whose precision the product runs.
    """
    above = (hidden - hidden_offset).mul_(share.unsqueeze(1))
    below = visible - visible_offset
    weights = product(below, above, like)
    visible_bias = torch.mv(below.T, share - torch.mv(above, hidden_offset))
    hidden_bias = torch.mv(above.T, 1.0 - torch.mv(below, visible_offset))
    return Slopes(weights, visible_bias, hidden_bias)
