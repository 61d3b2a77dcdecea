"""The generator's opponent: scaffolding that stays behind when the game is over."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.nn.convolution import Shrink
from genus.nn.features import features, num_features
from genus.nn.perceptron import Perceptron
from genus.spaces import Space

__all__ = ["Critic"]


class Critic(nn.Module):
    """Scores a datum, higher for more real: s(x, c) = v·φ(x) + b + φ(x)·E c.

    The last term is there under a condition only (projection, Miyato & Koyama 2018). No
    normalisation: statistics of the batch would tie one datum's score, and the gradient
    penalty, to another's.

    Args:
        space: of the data.
        architecture: "mlp" or "dcgan".
        hidden: units of the layers, or channels, each layer halving the image.
        condition: its space, or None.
    """

    def __init__(
        self,
        space: Space,
        architecture: Literal["mlp", "dcgan"],
        hidden: Sequence[int],
        condition: Space | None = None,
    ) -> None:
        super().__init__()
        self.condition = condition
        if architecture == "dcgan":
            self.body: nn.Module = Shrink(space.shape, hidden, "leaky_relu")
            size = self.body.num_features
        else:
            size = hidden[-1]
            layers = Perceptron((num_features(space), *hidden), "leaky_relu")
            self.body = nn.Sequential(nn.Flatten(), layers, nn.LeakyReLU(0.2, inplace=True))
        self.score = nn.Linear(size, 1)
        self.projection = None
        if condition is not None:
            self.projection = nn.Linear(num_features(condition), size, bias=False)
        for parameter in self.body.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, 0.2)

    def forward(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        """The scores of data as the generator's ``_appearance`` shows them."""
        found = self.body(x)
        score = self.score(found).squeeze(1)
        if self.projection is None or self.condition is None or condition is None:
            return score
        named = self.projection(features(self.condition, condition, self.score.weight))
        return score + torch.einsum("bf,bf->b", found, named)
