"""Annealed importance sampling and its reverse: log Z from below and from above.

A path of unnormalised densities f_β leads from f₀, whose Z₀ is known and which can be drawn
from, to f₁, whose Z₁ is wanted. Both directions weigh the states that they pass through by

    log w = Σₖ log f_{βₖ₊₁}(xₖ) − log f_{βₖ}(xₖ),    0 = β₀ < β₁ < … < β_K = 1.

Forward (x₀ ~ p₀, then upwards):     E[w] = Z₁/Z₀,    so E[log mean w] ≤ log Z₁/Z₀.
Reverse (x_{K−1} ~ p₁, then downwards):  E[1/w] = Z₀/Z₁,  so E[−log mean 1/w] ≥ log Z₁/Z₀.

So on average over its draws, the forward estimate lies below log Z₁ and the reverse estimate
above it; by Markov's inequality either is on the wrong side by more than t nats with
probability below e⁻ᵗ. With many chains both are so near that chance puts about half of them
on the wrong side by a little. The mean of log w lies further off on its own side, by half the
variance of log w: more chains leave that gap as it is and narrow the standard error, so that
the means of both directions bracket log Z₁/Z₀.

The forward bound holds without condition. The reverse one needs exact draws from p₁: started
from another density q, E[log w] may lie below log Z₁/Z₀ by as much as KL(q ‖ p₁).

Neal 2001; Salakhutdinov & Murray 2008; Grosse, Ghahramani & Adams 2015.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from genus.engine.counts import check_count
from genus.model import Estimated

__all__ = [
    "Annealed",
    "Path",
    "annealed_importance",
    "annealed_ratio",
    "forward_ratio",
    "inverse_temperatures",
    "log_mean",
    "reverse_annealed_importance",
    "reverse_ratio",
]

State = TypeVar("State")


class Path(Protocol[State]):
    """Densities f_β between one that is known (β = 0) and one that is wanted (β = 1)."""

    def start(self, num_chains: int) -> State:
        """Exact draws from p₀."""

    def log_ratio(self, state: State, low: float, high: float) -> Float[Tensor, " chains"]:
        """Log f_high(x) − log f_low(x) for every chain, in float64."""

    def move(self, state: State, beta: float) -> State:
        """A reversible move of every chain that leaves p_β unchanged."""


def inverse_temperatures(num_temperatures: int) -> list[float]:
    """K + 1 values of β from 0 to 1, ever denser towards 1: βₖ = 1 − (1 − k/K)².

    Near 1 the density changes fastest. For RBMs of 500 hidden units on MNIST and K = 1000 this
    leaves three quarters of the gap between both directions that the three linear pieces of
    Salakhutdinov & Murray 2008 leave.

    Raises:
        ValueError: for anything but a whole number of at least 3.
    """
    if check_count("num_temperatures", num_temperatures) < 3:
        raise ValueError(f"num_temperatures must be at least 3, got {num_temperatures}")
    return [1.0 - (1.0 - k / num_temperatures) ** 2 for k in range(num_temperatures + 1)]


@torch.no_grad()
def annealed_importance(
    path: Path[State], num_chains: int, betas: Sequence[float]
) -> Float[Tensor, " chains"]:
    """The log weights of chains that climb the path (Neal 2001): E[exp log w] = Z₁/Z₀.

    Args:
        path: from p₀ to p₁.
        num_chains: run side by side.
        betas: increasing, from 0 to 1.
    """
    state = path.start(num_chains)
    log_weights = path.log_ratio(state, betas[0], betas[1])
    for low, high in pairwise(betas[1:]):
        state = path.move(state, low)
        log_weights = log_weights + path.log_ratio(state, low, high)
    return log_weights


@torch.no_grad()
def reverse_annealed_importance(
    path: Path[State], state: State, betas: Sequence[float]
) -> Float[Tensor, " chains"]:
    """The log weights of chains that descend the path: E[exp −log w] = Z₀/Z₁.

    Args:
        path: from p₀ to p₁.
        state: draws from p₁; the bound is as good as they are.
        betas: increasing, from 0 to 1.
    """
    log_weights = path.log_ratio(state, betas[-2], betas[-1])
    for high, low in pairwise(reversed(betas[:-1])):
        state = path.move(state, high)
        log_weights = log_weights + path.log_ratio(state, low, high)
    return log_weights


def log_mean(log_weights: Float[Tensor, " chains"]) -> Estimated:
    """log of the mean weight, with its standard error by the delta method.

        s.e.(log w̄) ≈ s.e.(w̄) / w̄

    Where few chains carry all the weight the true error is larger; one chain alone tells none
    (infinity).
    """
    top = log_weights.max()
    weights = (log_weights - top).exp()
    mean = weights.mean()
    if len(weights) < 2:
        return Estimated(top + mean.log(), torch.full_like(mean, torch.inf))
    return Estimated(top + mean.log(), weights.std() / (mean * len(weights) ** 0.5))


class Annealed(NamedTuple):
    """What the weights of one direction say of log Z₁/Z₀.

    Attributes:
        value: the logarithm of a mean; consistent.
        standard_error: of it, by the delta method.
        bound: the mean of log w: below the truth forward, above it in reverse.
        bound_error: its standard error.
    """

    value: Tensor
    standard_error: Tensor
    bound: Tensor
    bound_error: Tensor


def forward_ratio(log_weights: Float[Tensor, " chains"]) -> Annealed:
    """log Z₁/Z₀ from chains that climbed: log mean w, and the lower bound mean log w."""
    return Annealed(*log_mean(log_weights), *_mean(log_weights))


def reverse_ratio(log_weights: Float[Tensor, " chains"]) -> Annealed:
    """log Z₁/Z₀ from chains that descended: −log mean 1/w, and the upper bound mean log w."""
    inverse = log_mean(-log_weights)
    return Annealed(-inverse.value, inverse.standard_error, *_mean(log_weights))


def annealed_ratio(
    path: Path[State], betas: Sequence[float], *, num_chains: int = 1, start: State | None = None
) -> Annealed:
    """log Z₁/Z₀ from chains that climb, or that descend from where they are told to start.

    Args:
        path: from p₀ to p₁.
        betas: increasing, from 0 to 1.
        num_chains: that climb.
        start: draws from p₁, which descend; then ``num_chains`` says nothing.
    """
    if start is None:
        return forward_ratio(annealed_importance(path, num_chains, betas))
    return reverse_ratio(reverse_annealed_importance(path, start, betas))


def _mean(values: Tensor) -> Estimated:
    if len(values) < 2:
        return Estimated(values.mean(), torch.full_like(values.mean(), torch.inf))
    return Estimated(values.mean(), values.std() / len(values) ** 0.5)
