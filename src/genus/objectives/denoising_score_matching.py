"""Denoising score matching: the slope of log p points from noisy data back to the data."""

from typing import Protocol

import torch
from torch import Tensor

from genus.engine import Batch, Info

__all__ = ["DenoisingScoreMatching"]


class HasFreeEnergy(Protocol):
    """A density of real data up to its constant."""

    def _free_energy(self, x: Tensor) -> Tensor:
        """F(x), with its gradient."""


class DenoisingScoreMatching:
    """½ E |s ψ(x̃) + ε|² for x̃ = x + s ε, ε ~ N(0, 1), ψ = −∇F (Vincent 2011).

    The score of x̃ given x is −ε/s, so that over much data the distribution of the *noisy* data
    minimises it where the model holds it: variances come out larger by s². Each loss is s²
    times Vincent's, which leaves its size alone as s shrinks. The mean over the batch.

    Args:
        noise: s, in the units of the data.

    Raises:
        ValueError: where it is not positive.
    """

    def __init__(self, noise: float = 0.1) -> None:
        if not noise > 0:
            raise ValueError(f"noise must be above 0, got {noise}")
        self.noise = noise

    def __call__(self, model: HasFreeEnergy, batch: Batch) -> Info:
        """The loss of a batch, with new noise."""
        noise = torch.randn_like(batch.x)
        at = (batch.x + self.noise * noise).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(model._free_energy(at).sum(), at, create_graph=True)
        missed = noise - self.noise * slope
        return {"loss": 0.5 * missed.flatten(1).square().sum(1).mean()}
