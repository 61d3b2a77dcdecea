"""Matrix products of Gibbs steps and contrasts, in bfloat16 under autocast.

Autocast casts a matrix anew for every product that it enters, and adds biases in bfloat16 too:
the log odds of a rare unit, such as −7.3, would be off by up to 0.016 in every draw. Here a
matrix is cast once for all products of a step, and biases are added in float32.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["lowered", "plus_product", "product"]


def lowered(weights: Tensor) -> Tensor:
    """The matrix in the precision that products have now, without its history."""
    weights = weights.detach()
    kind = weights.device.type
    if weights.dtype == torch.float32 and torch.is_autocast_enabled(kind):
        return weights.to(torch.get_autocast_dtype(kind))
    return weights


def plus_product(
    bias: Tensor,
    x: Float[Tensor, "rows inner"],
    weights: Float[Tensor, "inner columns"],
    scale: float = 1.0,
) -> Float[Tensor, "rows columns"]:
    """bias + scale · x W, multiplied in the precision of W and added in that of the bias."""
    if weights.dtype == bias.dtype:
        return torch.addmm(bias, x, weights, alpha=scale)
    return torch.add(bias, torch.mm(x.to(weights.dtype), weights), alpha=scale)


def product(
    below: Float[Tensor, "rows below"], above: Float[Tensor, "rows above"], dtype: torch.dtype
) -> Float[Tensor, "below above"]:
    """belowᵀ above, multiplied in a precision and returned in that of ``below``."""
    if below.dtype == dtype:
        return torch.mm(below.T, above)
    turned = below.T.to(dtype, memory_format=torch.contiguous_format)
    return torch.mm(turned, above.to(dtype)).to(below.dtype)
