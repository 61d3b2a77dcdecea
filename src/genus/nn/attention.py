"""Attention between the places of a picture."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SelfAttention", "attend"]

FEW = 256


def attend(
    query: Float[Tensor, "... places size"],
    key: Float[Tensor, "... places size"],
    value: Float[Tensor, "... places size"],
) -> Float[Tensor, "... places size"]:
    """Softmax(query · keyᵀ / √size) value (Vaswani et al. 2017)."""
    if query.device.type == "cpu" and key.shape[-2] <= FEW:
        # few places on a CPU: the fused kernel's bfloat16 gradient takes 9 times as long
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return scores.softmax(-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


class SelfAttention(nn.Module):
    """Each place of a picture looks at all places; added to what it held (Ho et al. 2020).

    Args:
        channels: of the picture.
        num_heads: equal parts of the channels, each with weights of its own.
    """

    def __init__(self, channels: int, num_heads: int = 4) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(
                f"channels must be a multiple of num_heads, got {channels} and {num_heads}"
            )
        self.num_heads = num_heads
        self.normalise = nn.LayerNorm(channels)
        self.to_heads = nn.Linear(channels, 3 * channels)
        self.to_channels = nn.Linear(channels, channels)
        with torch.no_grad():
            self.to_channels.weight.mul_(0.1)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The picture with what each place found elsewhere."""
        batch, channels, height, width = x.shape
        tokens = self.normalise(x.permute(0, 2, 3, 1).reshape(batch, height * width, channels))
        split = self.to_heads(tokens).unflatten(2, (3, self.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = attend(query, key, value)
        found = self.to_channels(mixed.transpose(1, 2).reshape(batch, -1, channels))
        return x + found.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
