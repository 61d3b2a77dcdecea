"""The two networks of a variational autoencoder."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genus.nn.convolution import Grow, Shrink
from genus.nn.features import num_features
from genus.nn.perceptron import Perceptron
from genus.spaces import Numeric, Space

__all__ = ["Architecture", "Decoder", "Encoder", "check_architecture"]

Architecture = Literal["mlp", "convolutional"]

DENSE = 256


def check_architecture(space: Space, architecture: str, hidden: Sequence[int]) -> None:
    """Raises ValueError where the architecture is unknown or does not suit the space."""
    if architecture not in ("mlp", "convolutional"):
        raise ValueError(f"architecture must be 'mlp' or 'convolutional', got {architecture!r}")
    if architecture == "convolutional" and not (
        isinstance(space, Numeric) and len(space.shape) == 3
    ):
        raise ValueError(
            f"a convolutional architecture needs images of shape (channel, height, width), "
            f"got {space}; use architecture='mlp'"
        )
    if not hidden:
        raise ValueError("hidden must name the channels of at least one layer, got none")


class Encoder(nn.Module):
    """From the features of a datum (and of its condition) to a vector.

    Args:
        space: of the datum.
        condition: its space, or None.
        num_outputs: the size of the vector.
        architecture: "mlp" or "convolutional".
        hidden: units (mlp) or channels (convolutional, each layer halves the image) in order.
    """

    def __init__(
        self,
        space: Space,
        condition: Space | None,
        num_outputs: int,
        architecture: Architecture,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.image = Shrink(space.shape, hidden) if architecture == "convolutional" else None
        inputs = num_features(space) if self.image is None else self.image.num_features
        sizes = hidden if self.image is None else (DENSE,)
        self.dense = Perceptron((inputs + num_features(condition), *sizes, num_outputs))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Shapes ``(batch, features)`` to ``(batch, num_outputs)``."""
        values = x if self.image is None else self.image(x)
        return self.dense(_beside(values, condition))


class Decoder(nn.Module):
    """From a code (and the features of a condition) to the parameters of a head.

    Args:
        space: of the datum.
        condition: its space, or None.
        num_latent: the size of the code.
        num_parameters: of the head, for each entry of the datum.
        architecture: "mlp" or "convolutional".
        hidden: as for the encoder, and gone through backwards.
    """

    def __init__(
        self,
        space: Space,
        condition: Space | None,
        num_latent: int,
        num_parameters: int,
        architecture: Architecture,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.shape = (num_parameters, *space.shape)
        inputs, backwards = num_latent + num_features(condition), tuple(hidden)[::-1]
        if architecture == "mlp":
            outputs = num_parameters * space.num_dimensions
            self.layers: nn.Module = Perceptron((inputs, *backwards, outputs))
        else:
            channels, *sides = space.shape
            image = (num_parameters * channels, *sides)
            self.layers = nn.Sequential(
                nn.Linear(inputs, DENSE), nn.ReLU(inplace=True), Grow(DENSE, image, backwards)
            )

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """Shape ``(batch, num_latent)`` to ``(batch, num_parameters, *space.shape)``."""
        return self.layers(_beside(z, condition)).reshape(len(z), *self.shape)


def _beside(values: Tensor, condition: Tensor | None) -> Tensor:
    return values if condition is None else torch.cat([values, condition.to(values.dtype)], dim=1)
