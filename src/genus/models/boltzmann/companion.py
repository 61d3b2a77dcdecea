"""A machine that learns no more and tells another network what its upper layers think."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine.counts import check_count
from genus.models.boltzmann.layered import Layered

__all__ = ["Companion"]


class Companion(nn.Module):
    """The means of h₂, …, h_L of a frozen deep Boltzmann machine, side by side.

    Its weights are buffers: saved with the network that it serves, and moved by no optimiser.

    Args:
        sizes: units of the visible layer and of h₁, …, h_L, two hidden layers or more.
        num_mean_field: most sweeps of mean field; fewer where no mean moves any more.

    Raises:
        ValueError: where there is one hidden layer, or ``num_mean_field`` is below 1.
    """

    def __init__(self, sizes: Sequence[int], num_mean_field: int) -> None:
        super().__init__()
        if len(sizes) < 3:
            raise ValueError(
                "num_mean_field needs two hidden layers or more, as the means are those of the "
                "layers above the first; leave it None for one layer"
            )
        self.num_mean_field = check_count("num_mean_field", num_mean_field)
        for number, (below, above) in enumerate(pairwise(sizes), 1):
            self.register_buffer(f"weights_{number}", torch.zeros(below, above))
        for number, size in enumerate(sizes):
            self.register_buffer(f"bias_{number}", torch.zeros(size))
        self.sizes = tuple(sizes)

    @property
    def layers(self) -> Layered:
        """The machine."""
        depth = range(len(self.sizes))
        weights = [self.get_buffer(f"weights_{number}") for number in depth[1:]]
        return Layered(weights, [self.get_buffer(f"bias_{number}") for number in depth])

    @torch.no_grad()
    def copy(self, machine: Layered) -> None:
        """Takes over the weights and biases of a machine of these sizes."""
        own = self.layers
        for kept, given in zip(
            (*own.weights, *own.biases), (*machine.weights, *machine.biases), strict=True
        ):
            kept.copy_(given)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch upper"]:
        """The means of h₂, …, h_L given x."""
        return torch.cat(self.layers.explain(x, self.num_mean_field)[1:], 1)
