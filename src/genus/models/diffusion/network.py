"""The networks that see a noisy datum, how noisy it is, and what it is conditioned on."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genus.nn.embedding import ConditionEmbedding, NoiseEmbedding
from genus.nn.unet import UNet
from genus.spaces import Numeric, Space

__all__ = ["Architecture", "ModulatedPerceptron", "Network"]

Architecture = Literal["auto", "unet", "mlp"]

PATCHED_FROM = 24


class Network(nn.Module):
    """A U-Net for pictures or a perceptron for vectors, modulated by noise level and condition.

    Args:
        space: of the data.
        condition: space of the condition, or None.
        architecture: "auto" takes the U-Net for shapes (channel, height, width).
        channels: of each size of the U-Net, or of the perceptron (one number).
        num_blocks: at each size, or in all.
        attention: at which sizes; None for the coarsest alone.
        num_heads: of attention.
        patch: see :class:`~genus.nn.unet.UNet`; None takes 2 where a side has 24 pixels or more.
    """

    def __init__(
        self,
        space: Numeric,
        condition: Space | None,
        *,
        architecture: Architecture,
        channels: tuple[int, ...] | None,
        num_blocks: int,
        attention: tuple[bool, ...] | None,
        num_heads: int,
        patch: int | None,
    ) -> None:
        super().__init__()
        picture = len(space.shape) == 3 and min(space.shape[1:]) > 1
        if architecture not in ("auto", "unet", "mlp"):
            raise ValueError(f"architecture must be auto, unet or mlp, got {architecture!r}")
        if architecture == "unet" and not picture:
            raise ValueError(
                f"a unet needs data of shape (channel, height, width), got {space.shape}; "
                "use architecture='mlp'"
            )
        self.shape = space.shape
        self.body: UNet | ModulatedPerceptron
        if architecture == "unet" or (architecture == "auto" and picture):
            wide = channels or (32, 64)
            size = max(64, wide[-1])
            self.body = UNet(
                space.shape[0],
                space.shape[0],
                size,
                channels=wide,
                num_blocks=num_blocks,
                attention=attention or (*(False,) * (len(wide) - 1), True),
                num_heads=num_heads,
                patch=patch or (2 if max(space.shape[1:]) >= PATCHED_FROM else 1),
            )
        else:
            wide = channels or (256,)
            size = wide[-1]
            self.body = ModulatedPerceptron(space.num_dimensions, wide[-1], num_blocks, size)
        self.noise = NoiseEmbedding(size)
        self.given = None if condition is None else ConditionEmbedding(condition, size)

    def forward(
        self,
        x: Float[Tensor, "batch *shape"],
        log_snr: Float[Tensor, " batch"],
        condition: Tensor | None,
        keep: Tensor | None = None,
    ) -> Float[Tensor, "batch *shape"]:
        """What the network makes of noisy data.

        Args:
            x: noisy data.
            log_snr: how noisy.
            condition: or None.
            keep: booleans ``(batch,)``; where false the condition is not looked at.
        """
        vector = self.noise(log_snr)
        if self.given is not None and condition is not None:
            vector = vector + self.given(condition, keep)
        if isinstance(self.body, UNet):
            return self.body(x, vector)
        return self.body(x.flatten(1), vector).reshape(x.shape)


class ModulatedPerceptron(nn.Module):
    """Residual layers on a vector, scaled and shifted by another.

        x + linear(silu(norm(linear(x)) · (1 + a) + b)),  (a, b) = linear(vector)

    Args:
        size: of the datum.
        width: of the layers.
        num_blocks: how many.
        vector_size: of the modulating vector.
    """

    def __init__(self, size: int, width: int, num_blocks: int, vector_size: int) -> None:
        super().__init__()
        if width < 1 or num_blocks < 1:
            raise ValueError(
                f"channels and num_blocks must be at least 1, got {width} and {num_blocks}"
            )
        self.enter = nn.Linear(size, width)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(num_blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(num_blocks))
        self.modulate = nn.ModuleList(nn.Linear(vector_size, 2 * width) for _ in range(num_blocks))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(num_blocks))
        self.leave = nn.Linear(width, size)
        for layer in (*self.second, self.leave):
            layer.weight.data.mul_(0.1)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """A vector of the size of ``x``."""
        hidden, vector = self.enter(x), F.silu(vector)
        parts = zip(self.first, self.norms, self.modulate, self.second, strict=True)
        for first, norm, modulate, second in parts:
            scale, shift = modulate(vector).chunk(2, dim=1)
            inner = torch.addcmul(shift, norm(first(hidden)), 1 + scale)
            hidden = hidden + second(F.silu(inner))
        return self.leave(hidden)
