"""Convolutional networks between images and vectors, halving or doubling at each layer."""

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from genus.nn.perceptron import ACTIVATIONS, Activation

__all__ = ["Grow", "Norm", "Shrink", "halvings"]

Norm = Literal["none", "batch"]

# kernel 4 with stride 2 and padding 1 covers every pixel equally often: no chequerboard
KERNEL, STRIDE, PADDING = 4, 2, 1


def halvings(shape: tuple[int, ...], times: int) -> list[tuple[int, int]]:
    """Heights and widths of an image (channel, height, width) as it is halved, rounded down.

    Raises:
        ValueError: where the space is no image, or too small to be halved so often.
    """
    if len(shape) != 3:
        raise ValueError(f"shape must be (channel, height, width), got {shape}")
    sizes = [(shape[1] >> n, shape[2] >> n) for n in range(times + 1)]
    if min(sizes[-1]) < 1:
        raise ValueError(
            f"hidden has {times} layers, but an image of {shape[1]}×{shape[2]} cannot be halved "
            f"that often; give at most {min(shape[1:]).bit_length() - 1}"
        )
    return sizes


class Shrink(nn.Module):
    """From an image to a vector: each layer halves the sides.

    Args:
        shape: of the image, (channel, height, width).
        channels: after each layer.
        activation: after each layer.
        norm: "batch" normalises all layers but the first (Radford et al. 2015).

    Attributes:
        num_features: the size of the vector.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Sequence[int],
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        height, width = halvings(shape, len(channels))[-1]
        self.shape = shape
        self.num_features = channels[-1] * height * width
        layers: list[nn.Module] = []
        for number, pair in enumerate(itertools.pairwise((shape[0], *channels))):
            layers.append(nn.Conv2d(*pair, KERNEL, STRIDE, PADDING))
            if norm == "batch" and number:
                layers.append(nn.BatchNorm2d(pair[1]))
            layers.append(ACTIVATIONS[activation]())
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(batch, *shape)``, or flattened, to ``(batch, num_features)``."""
        channels, height, width = self.shape
        rows = x.reshape(len(x), *self.shape).permute(0, 2, 3, 1).flatten(1)
        # strides that say channels-last even where there is one channel
        image = rows.reshape(len(x), height, width, channels).permute(0, 3, 1, 2)
        return self.layers(image).permute(0, 2, 3, 1).flatten(1)


class Grow(nn.Module):
    """From a vector to an image: a linear map to the smallest size, then each layer doubles.

    Args:
        num_inputs: the size of the vector.
        shape: of the image, (channel, height, width).
        channels: before each layer, coarse to fine.
        activation: between layers.
        norm: "batch" normalises before each nonlinearity (Radford et al. 2015).

    Under ``torchrun`` the statistics of "batch" are those of the process' own share of the
    batch, so two processes do not equal one bit for bit with it; the running averages that are
    saved, and that sampling uses, are those of the first process.
    """

    def __init__(
        self,
        num_inputs: int,
        shape: tuple[int, ...],
        channels: Sequence[int],
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        sizes = halvings(shape, len(channels))[::-1]
        self.start = (*sizes[0], channels[0])
        self.project = nn.Linear(num_inputs, sizes[0][0] * sizes[0][1] * channels[0])
        layers: list[nn.Module] = []
        widths = itertools.pairwise((*channels, shape[0]))
        for pair, small, large in zip(widths, sizes[:-1], sizes[1:], strict=True):
            if norm == "batch":
                layers.append(nn.BatchNorm2d(pair[0]))
            layers.append(ACTIVATIONS[activation]())
            odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
            layers.append(nn.ConvTranspose2d(*pair, KERNEL, STRIDE, PADDING, output_padding=odd))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Shape ``(batch, num_inputs)`` to ``(batch, *shape)``."""
        start = self.project(z).reshape(len(z), *self.start)
        return self.layers(start.permute(0, 3, 1, 2))
