"""Units that take one of several values without order (Potts)."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.odds import described
from genus.models.boltzmann.units import Discrete

__all__ = ["Potts"]

RAREST = 1e-3


@final
class Potts(Discrete):
    """One of K values, held as K entries of which one is 1 (Potts): p(x = k | f) ∝ exp f_k.

    Args:
        num_values: K, at least 2.
    """

    def __init__(self, num_values: int) -> None:
        super().__init__()
        if num_values < 2:
            raise ValueError(f"a categorical unit needs at least 2 values, got {num_values}")
        self.num_values: int = num_values

    def _grouped(self, entries: Tensor) -> Float[Tensor, "... unit value"]:
        return entries.unflatten(-1, (-1, self.num_values))

    def width(self, num_units: int) -> int:
        """K entries each."""
        return num_units * self.num_values

    def states(self, x: Tensor) -> Tensor:
        """Categories as rows of zeros with a single one, the K entries of a unit together."""
        ones = F.one_hot(x.long(), self.num_values).flatten(-2)
        return ones.to(x.dtype if x.is_floating_point() else torch.get_default_dtype())

    def values(self, entries: Tensor) -> Tensor:
        """Σ_k k x_k."""
        groups = self._grouped(entries)
        return groups @ torch.arange(self.num_values).to(groups)

    def spread_mask(self, mask: Tensor) -> Tensor:
        """K times each entry of the mask."""
        return mask.repeat_interleave(self.num_values, -1)

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """−x·b."""
        return -(x @ bias)

    def log_partition(self, field: Tensor) -> Tensor:
        """Log Σ_k exp f_k of each unit."""
        return self._grouped(field).logsumexp(-1)

    def mean(self, field: Tensor) -> Tensor:
        """The probability of each value."""
        return self._grouped(field).softmax(-1).flatten(-2)

    @torch.no_grad()
    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """The probability of each value, exp(f_k − A), and Σ A."""
        groups = self._grouped(field)
        log_partition = groups.logsumexp(-1)
        mean = (groups - log_partition.unsqueeze(-1)).exp_()
        return mean.flatten(-2), log_partition.sum(-1)

    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """The value whose exponential clock of rate p_k rings first."""
        chance = self._grouped(field.detach()).softmax(-1)
        first = (chance / torch.empty_like(chance).exponential_()).argmax(-1, keepdim=True)
        return torch.zeros_like(chance).scatter_(-1, first, 1.0).flatten(-2)

    def variance_of(self, weights: Tensor, field: Tensor) -> Tensor:
        """Over the units: Σ_k p_k w_k² − (Σ_k p_k w_k)²."""
        chance = self._grouped(self.mean(field))
        rows = self._grouped(weights)
        means = torch.einsum("bgk,igk->bgi", chance, rows)
        return chance.flatten(1) @ weights.square().T - means.square().sum(1)

    def bias_for(self, mean: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Log shares, of mean 0 for each unit; a category that never comes gets 1/1000.

        ``mean`` holds the share of each category, shape ``(*shape, K)``, adding up to 1.
        """
        share = torch.as_tensor(mean).to(like)
        whole = (*shape, self.num_values)
        fits = share.shape == whole and bool((share >= 0).all())
        if not fits or not torch.allclose(share.sum(-1), like.new_ones(()), atol=1e-4):
            raise ValueError(
                f"mean must have shape {whole}, the share of each category, adding up to 1; "
                f"got {described(share)}"
            )
        log_share = share.clamp_min(RAREST).log()
        return (log_share - log_share.mean(-1, keepdim=True)).flatten()
