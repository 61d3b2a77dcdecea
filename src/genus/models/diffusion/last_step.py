"""The last step of a diffusion: from x̂₀ to the datum itself."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genus.spaces import Numeric

__all__ = ["LastStep"]


@dataclass(frozen=True)
class LastStep:
    """A Gaussian about x̂₀, cut into levels where the space has levels.

    Each level takes the mass of its bin, and the two outermost bins reach to infinity, so
    that the levels' probabilities sum to one (Ho et al. 2020, equation 13).

    Attributes:
        space: of the data; levels lie evenly on [−1, 1].
        deviation: of the Gaussian.
    """

    space: Numeric
    deviation: float

    def log_prob(
        self, y: Float[Tensor, "batch *shape"], mean: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, " batch"]:
        """log p of data on the real line, ``y``, about ``mean``, in nats."""
        if self.space.levels is None:
            scaled = (y - mean) / self.deviation
            entries = -0.5 * scaled**2 - math.log(self.deviation) - 0.5 * math.log(2 * math.pi)
        else:
            entries = self._log_mass(y, mean, 1.0 / (self.space.levels - 1))
        return entries.flatten(1).sum(1)

    def _log_mass(self, y: Tensor, mean: Tensor, half: float) -> Tensor:
        """Log(Φ(b) − Φ(a)) for a < b the edges of the bin, taken in the left tail.

        Φ(b) − Φ(a) = Φ(−a) − Φ(−b), and of the two the one further left keeps its digits.
        """
        above = (y - mean + half) / self.deviation
        below = (y - mean - half) / self.deviation
        right = above + below > 0
        high, low = torch.where(right, -below, above), torch.where(right, -above, below)
        log_high = torch.special.log_ndtr(high)
        middle = log_high + torch.log(-torch.expm1(torch.special.log_ndtr(low) - log_high))
        lowest, highest = y < half - 1.0, y > 1.0 - half
        outer = torch.special.log_ndtr(torch.where(lowest, above, -below))
        return torch.where(lowest | highest, outer, middle)

    def sample(self, mean: Tensor) -> Tensor:
        """A draw, in the units of the space."""
        return self.space.from_real(mean + self.deviation * torch.randn_like(mean))
