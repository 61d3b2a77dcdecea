"""A U-Net: a picture to a picture, coarse and fine at once (Ronneberger et al. 2015)."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genus.nn.attention import SelfAttention

__all__ = ["ChannelNorm", "ModulatedBlock", "UNet"]

Picture = Float[Tensor, "batch channels height width"]


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of each place by themselves.

    On CPUs several times as fast as a group norm where channels lie last in memory.
    """

    def forward(self, x: Picture) -> Picture:
        """The normalised picture."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ModulatedBlock(nn.Module):
    """Two convolutions beside a skip; a vector scales and shifts between them.

        h = conv(silu(norm(x)));  x + conv(silu(norm(h) · (1 + a) + b)),  (a, b) = linear(vector)

    After the adaptive group norm of Dhariwal & Nichol (2021).

    Args:
        channels: of the picture.
        vector_size: of the modulating vector.
        num_heads: of the attention that follows, or None for none.
    """

    def __init__(self, channels: int, vector_size: int, num_heads: int | None = None) -> None:
        super().__init__()
        self.first_norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulate = nn.Linear(vector_size, 2 * channels)
        self.second_norm = ChannelNorm(channels, elementwise_affine=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)
        self.attention: nn.Module = (
            nn.Identity() if num_heads is None else SelfAttention(channels, num_heads)
        )

    def forward(self, x: Picture, vector: Float[Tensor, "batch vector_size"]) -> Picture:
        """A picture of the same shape."""
        hidden = self.first(F.silu(self.first_norm(x)))
        scale, shift = self.modulate(vector)[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(torch.addcmul(shift, self.second_norm(hidden), 1 + scale))
        return self.attention(x + self.second(hidden))


class UNet(nn.Module):
    """Blocks at each of several sizes, going down and coming up, joined block by block.

    A picture is first cut into patches, whose pixels become channels: most of the work then
    falls where there are few places and many channels, which is where processors are fast.
    The same cut leads from each size to the next coarser one. Sides that do not divide are
    padded at the right and below, and cut again.

    Args:
        channels_in: of the picture.
        channels_out: of the result.
        vector_size: of the vector that modulates every block.
        channels: of each size, the finest first.
        num_blocks: at each size on the way down, and again on the way up.
        attention: which sizes have attention, such as ``(False, True)``.
        num_heads: of attention.
        patch: side of the patches; 1 cuts none.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        vector_size: int,
        *,
        channels: tuple[int, ...] = (32, 64),
        num_blocks: int = 2,
        attention: tuple[bool, ...] = (False, True),
        num_heads: int = 4,
        patch: int = 1,
    ) -> None:
        super().__init__()
        if not channels or num_blocks < 1 or patch < 1:
            raise ValueError(
                "channels must name at least one size, num_blocks and patch be at least 1, "
                f"got {channels}, {num_blocks} and {patch}"
            )
        if len(attention) != len(channels):
            raise ValueError(f"attention must say yes or no for each of {len(channels)} sizes")
        self.num_blocks, self.patch = num_blocks, patch
        self.multiple = patch * 2 ** (len(channels) - 1)
        widths = [(c, num_heads if a else None) for c, a in zip(channels, attention, strict=True)]
        units = [(wide, heads) for wide, heads in widths for _ in range(num_blocks)]
        finer = list(pairwise(channels))
        self.enter = nn.Conv2d(channels_in * patch**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList(ModulatedBlock(c, vector_size, h) for c, h in units)
        self.shrink = nn.ModuleList(nn.Conv2d(4 * fine, coarse, 1) for fine, coarse in finer)
        self.join = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c, _ in units[::-1])
        self.up = nn.ModuleList(ModulatedBlock(c, vector_size, h) for c, h in units[::-1])
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in finer[::-1])
        self.leave_norm = ChannelNorm(channels[0])
        self.leave = nn.Conv2d(channels[0], channels_out * patch**2, 3, padding=1)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)

    def forward(
        self,
        x: Float[Tensor, "batch channels_in height width"],
        vector: Float[Tensor, "batch vector_size"],
    ) -> Float[Tensor, "batch channels_out height width"]:
        """The picture that belongs to ``x`` under ``vector``."""
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        cut = F.pixel_unshuffle(padded, self.patch)
        hidden = self.enter(cut.contiguous(memory_format=torch.channels_last))
        vector, held = F.silu(vector), []
        for number, block in enumerate(self.down):
            if number and number % self.num_blocks == 0:
                shrink = self.shrink[number // self.num_blocks - 1]
                hidden = shrink(_channels_last(F.pixel_unshuffle(hidden, 2)))
            hidden = block(hidden, vector)
            held.append(hidden)
        for number, (join, block) in enumerate(zip(self.join, self.up, strict=True)):
            if number and number % self.num_blocks == 0:
                grown = self.grow[number // self.num_blocks - 1](hidden)
                hidden = _channels_last(F.pixel_shuffle(grown, 2))
            hidden = block(join(torch.cat([hidden, held.pop()], dim=1)), vector)
        result = self.leave(F.silu(self.leave_norm(hidden)))
        return F.pixel_shuffle(result, self.patch)[:, :, :height, :width]


def _channels_last(x: Picture) -> Picture:
    return x.contiguous(memory_format=torch.channels_last)
