"""The path from independent units to a general Boltzmann machine, and sums over its states."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genus.inference.enumerate import binary_chunks
from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.tempered import softplus

__all__ = ["Joined", "Moments", "State", "mean_field", "states"]


class State(NamedTuple):
    """Units of every chain, and how much log f₁ exceeds log f₀ there."""

    units: Float[Tensor, "unit chain"]
    score: Float[Tensor, " chain"]


class Moments(NamedTuple):
    """What a sum over all states gives, in float64.

    Attributes:
        log_partition: log Z.
        mean: E[x], shape ``(units,)``.
        products: E[x xᵀ], shape ``(units, units)``.
    """

    log_partition: Tensor
    mean: Tensor
    products: Tensor


@dataclass(frozen=True)
class Joined:
    """The densities that lead from independent units to the machine.

        log f_β(x) = (1 − β) b₀·x + β (½ xᵀU x + b·x)

    Units stand in order of colour, those of one colour side by side, a row for each.

    Attributes:
        couplings: U, symmetric with zero diagonal, shape ``(units, units)``.
        bias: b.
        base_bias: b₀, the log odds of each unit at β = 0.
        ends: 0 and the end of every colour, rising to the number of units.
        free: where a unit of a chain may change, shape ``(units, chains)``; None: everywhere.
    """

    couplings: Tensor
    bias: Tensor
    base_bias: Tensor
    ends: tuple[int, ...]
    free: Tensor | None = None

    @property
    def log_base_partition(self) -> Tensor:
        """Log Z₀ = Σᵢ softplus(b₀ᵢ), in float64."""
        return softplus(self.base_bias.double()).sum()

    def at(self, units: Tensor) -> State:
        """The state of these units: ½ xᵀU x + (b − b₀)·x, summed in float64."""
        field = (self.couplings @ units).mul_(0.5).add_((self.bias - self.base_bias).unsqueeze(1))
        return State(units, field.to(units.dtype).mul_(units).sum(0, dtype=torch.float64))

    def start(self, num_chains: int) -> State:
        """Draws of independent units."""
        odds = self.base_bias.sigmoid().unsqueeze(1)
        return self.at(bernoulli(odds.expand(-1, num_chains)))

    def log_ratio(self, state: State, low: float, high: float) -> Tensor:
        """Log f_high(x) − log f_low(x)."""
        return (high - low) * state.score

    def sweep(self, units: Tensor, beta: float) -> Tensor:
        """Draws every unit given all others, colour by colour, forwards or backwards by chance.

        A unit is 1 where logit u < its log odds, for u uniform. With the direction left to
        chance the sweep is reversible: the backward sweep is the reverse of the forward one.
        """
        units = units.clone()
        threshold = torch.rand_like(units).logit_()
        bias = torch.lerp(self.base_bias, self.bias, beta).unsqueeze(1)
        colours = list(pairwise(self.ends))
        for begin, end in reversed(colours) if bool(torch.randint(2, ())) else colours:
            field = torch.addmm(bias[begin:end], self.couplings[begin:end], units, alpha=beta)
            drawn = threshold[begin:end] < field
            if self.free is None:
                units[begin:end] = drawn
            else:
                units[begin:end] = drawn.to(units).where(self.free[begin:end], units[begin:end])
        return units

    def move(self, state: State, beta: float) -> State:
        """A sweep at β: reversible, and leaves f_β unchanged."""
        return self.at(self.sweep(state.units, beta))

    @property
    def num_summed(self) -> int:
        """Over the states of how many units a sum over all runs: all but the first colour."""
        return len(self.bias) - self.ends[1]

    @torch.no_grad()
    def moments(self) -> Moments:
        """Log Z and the moments at β = 1, by a sum over the states s of all colours but the first.

            Z = Σₛ exp(½ sᵀU s + b·s) Πⱼ (1 + exp aⱼ),    a = b + U s,    j of the first colour

        Given s, the units of the first colour are independent with means σ(a).
        """
        first = self.ends[1]
        couplings, bias = self.couplings.double(), self.bias.double()
        log_z = torch.full((), -torch.inf, dtype=torch.float64, device=bias.device)
        mean, products = torch.zeros_like(bias), torch.zeros_like(couplings)
        for rows in states(self.num_summed, bias.device):
            activation = rows @ couplings[first:, :first] + bias[:first]
            field = 0.5 * (rows @ couplings[first:, first:]) + bias[first:]
            log_f = (field * rows).sum(1) + softplus(activation).sum(1)
            higher = torch.logaddexp(log_z, log_f.logsumexp(0))
            shrink, p = (log_z - higher).exp(), (log_f - higher).exp().unsqueeze(1)
            units = torch.cat([activation.sigmoid(), rows], 1)
            mean = shrink * mean + (p * units).sum(0)
            products = shrink * products + units.T @ (p * units)
            log_z = higher
        products.diagonal().copy_(mean)
        return Moments(log_z, mean, products)


def states(num_units: int, device: torch.device, chunk: int = 1 << 12) -> Iterator[Tensor]:
    """All binary vectors in float64, ``chunk`` rows at a time; of no units one empty row."""
    if num_units == 0:
        return iter([torch.zeros(1, 0, dtype=torch.float64, device=device)])
    return binary_chunks(num_units, device=device, chunk=chunk)


@torch.no_grad()
def mean_field(
    couplings: Float[Tensor, "unit unit"],
    bias: Float[Tensor, "unit batch"],
    ends: tuple[int, ...],
    num_sweeps: int,
) -> Float[Tensor, "unit batch"]:
    """The means μ of the independent units that come nearest a machine in KL(q ‖ p).

    Each sweep sets μ = σ(b + U μ), colour by colour; as units of one colour are not joined, no
    step lowers the bound ½ μᵀU μ + b·μ + H(μ) of log Z.

    Args:
        couplings: U, in order of colour.
        bias: b, for every member of the batch its own.
        ends: 0 and the end of every colour.
        num_sweeps: how many.
    """
    mean = bias.sigmoid()
    for _ in range(num_sweeps):
        for begin, end in pairwise(ends):
            field = torch.addmm(bias[begin:end], couplings[begin:end], mean)
            mean[begin:end] = field.to(mean.dtype).sigmoid_()
    return mean
