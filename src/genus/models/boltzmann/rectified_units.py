"""Rectified units that are sums of binary copies, so that every probability is exact."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from genus.distributions.bernoulli import mean_and_softplus
from genus.distributions.odds import described
from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.units import Discrete, softplus

__all__ = ["Rectified"]

RAREST = 1e-3
BISECTIONS = 60


@final
class Rectified(Discrete):
    """0 … N, the sum of N binary copies with one field and shifted biases.

        x = Σᵢ xᵢ,    p(xᵢ = 1 | f) = σ(f − i + ½),    A(f) = Σᵢ log(1 + exp(f − i + ½))

    A tends to that of noisy rectified linear units as N grows: E[x | f] ≈ log(1 + eᶠ) while f
    is well below N (Teh & Hinton 2001; Nair & Hinton 2010). Summed over the copies, the level n
    costs R(n) = n²/2 − log [N over n] with the Gaussian binomial coefficient at q = 1/e, by the
    q-binomial theorem.

    Args:
        num_copies: N, at least 1. Time and memory grow with it.
    """

    def __init__(self, num_copies: int) -> None:
        super().__init__()
        if num_copies < 1:
            raise ValueError(f"a rectified unit needs at least 1 copy, got {num_copies}")
        self.num_copies = num_copies
        self.num_values: int = num_copies + 1
        level = torch.arange(num_copies + 1, dtype=torch.float64)
        falling = (-level[1:]).exp().neg().log1p().cumsum(0)
        factors = torch.cat([falling.new_zeros(1), falling])
        self._level_energy = level.square() / 2 - (factors[-1] - factors - factors.flip(0))

    def _copies(self, field: Tensor) -> Float[Tensor, "... unit copy"]:
        shift = torch.arange(self.num_copies, dtype=field.dtype, device=field.device) + 0.5
        return field.unsqueeze(-1) - shift

    def width(self, num_units: int) -> int:
        """One entry each."""
        return num_units

    def states(self, x: Tensor) -> Tensor:
        """Levels as floats."""
        return x if x.is_floating_point() else x.to(torch.get_default_dtype())

    def values(self, entries: Tensor) -> Tensor:
        """The entries themselves."""
        return entries

    def spread_mask(self, mask: Tensor) -> Tensor:
        """The mask itself."""
        return mask

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """Σ R(x) − x·b."""
        own = self._level_energy.to(x)[x.long()].sum(-1)
        return own - x @ bias

    def log_partition(self, field: Tensor) -> Tensor:
        """Σᵢ log(1 + exp(f − i + ½))."""
        return softplus(self._copies(field)).sum(-1)

    def mean(self, field: Tensor) -> Tensor:
        """Σᵢ σ(f − i + ½)."""
        return self._copies(field).sigmoid_().sum(-1)

    @torch.no_grad()
    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the copies, which are binary units: for each unit, and of all units."""
        mean, log_partition = mean_and_softplus(self._copies(field))
        return mean.sum(-1), log_partition.sum(-1)

    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """The sum of the drawn copies."""
        return bernoulli(self._copies(field.detach()).sigmoid_()).sum(-1)

    def variance_of(self, weights: Tensor, field: Tensor) -> Tensor:
        """Σⱼ wⱼ² Σᵢ σ(fⱼ − i + ½) σ(i − ½ − fⱼ)."""
        copies = self._copies(field)
        return (copies.sigmoid() * (-copies).sigmoid()).sum(-1) @ weights.square().T

    def bias_for(self, mean: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """By bisection; means closer than a thousandth to 0 or N are taken as that far."""
        level = torch.as_tensor(mean).to(like)
        top = float(self.num_copies)
        if level.shape != shape or not bool(((level >= 0) & (level <= top)).all()):
            raise ValueError(
                f"mean must have shape {shape} and entries 0 to {self.num_copies}; "
                f"got {described(level)}"
            )
        wanted = level.flatten().double().clamp(RAREST, top - RAREST)
        low, high = torch.full_like(wanted, -20.0), torch.full_like(wanted, top + 20.0)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = self.mean(middle) > wanted
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return ((low + high) / 2).to(like)
