"""The contrast of two phases in centred coordinates, carried back to weights and biases."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genus.inference.products import product

__all__ = ["SLIDE", "centred_slopes", "newest", "newest_value", "none_seen", "shares"]

SLIDE = 0.01
"""The memory of a hundred batches: long against their noise, short against learning."""


def newest(num_seen: Int64[Tensor, ""], like: Tensor) -> Float[Tensor, ""]:
    """The newest batch's share in an offset: a plain mean of the first hundred, then slow.

    Args:
        num_seen: how many batches the mean is of, without this one; where it begins at what the
            biases alone would make of the units, that counts as one.
        like: of the dtype of the offset.
    """
    return (num_seen + 1).to(like.dtype).reciprocal_().clamp_min_(SLIDE)


def newest_value(num_seen: Int64[Tensor, ""]) -> float:
    """The same as a number."""
    return max(1.0 / (int(num_seen) + 1), SLIDE)


def none_seen(like: Tensor) -> Int64[Tensor, ""]:
    """0 batches, as a tensor: a compiled step takes a changing number only as such."""
    return torch.zeros((), dtype=torch.int64, device=like.device)


def shares(num_data: int, num_chains: int, like: Tensor) -> Float[Tensor, " rows"]:
    """1/n of every chain and −1/n of every datum, which come first; nobody may write into it."""
    if torch.compiler.is_compiling():
        return _shares(num_data, num_chains, like.dtype, like.device)
    return _kept_shares(num_data, num_chains, like.dtype, like.device)


def _shares(num_data: int, num_chains: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        share = torch.full((num_data + num_chains,), 1.0 / num_chains, dtype=dtype, device=device)
        share[:num_data] = -1.0 / num_data
    return share


_kept_shares = lru_cache(maxsize=8)(_shares)


def centred_slopes(
    layers: Sequence[Float[Tensor, "rows units"]],
    offsets: Sequence[Tensor],
    share: Float[Tensor, " rows"],
    dtype: torch.dtype,
    *,
    carried: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Σ share · ∂(−E) in coordinates centred at μ, carried back: of every W, then of every b.

        ΔWₗ = ⟨(hₗ₋₁ − μₗ₋₁)(hₗ − μₗ)ᵀ⟩        Δbₗ = ⟨hₗ⟩ − ΔWₗᵀ μₗ₋₁ − ΔWₗ₊₁ μₗ₊₁

    with ⟨·⟩ = Σ share ·. As the shares add up to 0, ⟨h⟩ = ⟨h − μ⟩, and as ΔW is of the rank of
    the batch, the corrections cost less by its rows than by ΔW.

    Args:
        layers: from the bottom up, as the weights multiply them.
        offsets: μ of each.
        share: of every row; their sum is 0, as data and chains weigh alike.
        dtype: in which the products run.
        carried: μ in the formula of Δb, where that is another.
    """
    centred = [layer - offset for layer, offset in zip(layers, offsets, strict=True)]
    weighed = [layer * share.unsqueeze(1) for layer in centred[1:]]
    back = offsets if carried is None else carried
    weights, pulls = [], [share] * len(layers)
    for upper, (below, above) in enumerate(zip(centred, weighed, strict=False), 1):
        weights.append(product(below, above, dtype))
        pulls[upper - 1] = pulls[upper - 1] - torch.mv(above, back[upper])
        pulls[upper] = pulls[upper] - share * torch.mv(below, back[upper - 1])
    biases = [torch.mv(layer.T, pull) for layer, pull in zip(centred, pulls, strict=True)]
    return [*weights, *biases]
