"""Exact sums over a restricted machine: log Z, of all of it or with some units held."""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from genus.inference.enumerate import log_sum_pairs
from genus.models.boltzmann.clamped import Clamped, annealed_partition, holding
from genus.models.boltzmann.tempered import Tempered
from genus.models.boltzmann.units import Bernoulli, Units

__all__ = ["clamped_partition", "conditional", "cost", "log_partition", "num_states"]

CHUNK = 1 << 12


def num_states(units: Units, width: int) -> float:
    """Over how many states of a side of this width a sum would run; infinite for reals."""
    if units.num_values is None:
        return math.inf
    return float(units.num_values) ** min(width // units.width(1), 1000)


def cost(path: Tempered) -> float:
    """Over how many states :func:`log_partition` sums; 1 where it integrates in closed form."""
    visible, hidden = (num_states(*side) for side in _sides(path))
    return 1.0 if math.isinf(visible) and math.isinf(hidden) else min(visible, hidden)


def log_partition(path: Tempered) -> Tensor:
    """Log Z at β = 1, with the energy of the textbooks, in float64.

    By a sum over the states of the side that has fewer, or in closed form where both sides are
    Gaussian.

    Raises:
        ValueError: for a Gaussian machine whose precision is not positive definite.
    """
    near, far = (num_states(*side) for side in _sides(path))
    binary = isinstance(path.visible_units, Bernoulli) and isinstance(path.hidden_units, Bernoulli)
    if binary and far < near:
        return log_sum_pairs(path.weights.T, path.hidden_bias, path.visible_bias)
    if binary:
        return log_sum_pairs(path.weights, path.visible_bias, path.hidden_bias)
    ground = path.visible_units.ground(path.visible_bias.double()).sum()
    if near < far:
        return _over_visible(path) - ground
    clamped = Clamped(
        path.weights,
        path.visible_bias,
        path.base_bias,
        path.hidden_bias.unsqueeze(0),
        path.weights.new_ones(1, len(path.visible_bias) // path.visible_units.width(1)),
        path.visible_units,
        path.hidden_units,
    )
    return clamped_partition(clamped).squeeze(0) - ground


def clamped_partition(path: Clamped) -> Float[Tensor, " chains"]:
    """Log ∫ f₁(u) du over the free units of each chain, in float64, by a sum over hidden ones.

    In closed form where both sides are Gaussian.

    Raises:
        ValueError: for a Gaussian machine whose precision is not positive definite.
    """
    if path.hidden_units.num_values is None:
        return _gaussian_partition(path)
    weights, bias = path.weights.double(), path.visible_bias.double()
    held, free = path.hidden_bias.double(), path.free.double()
    total = held.new_full((len(held),), -torch.inf)
    for rows in _states(path.hidden_units, held):
        own = path.hidden_units.energy(rows, torch.zeros_like(held[0])).unsqueeze(1)
        visible = path.visible_units.log_partition(torch.addmm(bias, rows, weights.T))
        terms = rows @ held.T - own + visible @ free.T
        total = torch.logaddexp(total, terms.logsumexp(0))
    return total


def conditional(
    path: Tempered, v: Tensor, mask: Tensor, num_chains: int | None, betas: Sequence[float]
) -> Float[Tensor, " rows"]:
    """log p(missing | observed) = log f(missing) − log Z of the clamped machine.

    Args:
        path: to the machine.
        v: entries of the visible units, shape ``(rows, visible)``.
        mask: true where a unit is observed, shape ``(rows, visible units)``.
        num_chains: of each row, for an annealed log Z; None sums it.
        betas: of annealing.
    """
    held = holding(path, v, mask)
    missing = v * ~path.visible_units.spread_mask(mask)
    joint = held.log_density(held.at(missing), 1.0)
    if num_chains is None:
        return joint - clamped_partition(held)
    return joint - annealed_partition(held, num_chains, betas)


def _over_visible(path: Tempered) -> Tensor:
    weights, bias = path.weights.double(), path.hidden_bias.double()
    visible = path.visible_bias.double()
    total = visible.new_full((), -torch.inf)
    for rows in _states(path.visible_units, visible.unsqueeze(0)):
        hidden = path.hidden_units.log_partition(torch.addmm(bias, rows, weights)).sum(1)
        terms = hidden - path.visible_units.energy(rows, visible)
        total = torch.logaddexp(total, terms.logsumexp(0))
    return total


def _gaussian_partition(path: Clamped) -> Tensor:
    """½ Σ_free log 2πσ² + H/2 log 2π − ½ log |M| + ½ uᵀM⁻¹u, M = I − WᵀD W, u = c + WᵀD b.

    D holds 1/σ² of the free units. Integrating over the visible units leaves a Gaussian of the
    hidden ones with this precision; the whole has one if and only if M is positive definite.
    """
    bias = path.visible_bias.double()
    one = torch.ones_like(bias)
    weights, free = path.weights.double(), path.free.double()
    scaled = path.visible_units.statistic(one) * free
    among = torch.einsum("ij,ni,ik->njk", weights, scaled, weights)
    precision = torch.eye(weights.shape[1]).to(weights) - among
    factor, failed = torch.linalg.cholesky_ex(precision)
    if bool(failed.any()):
        least = float(torch.linalg.eigvalsh(precision).min())
        raise ValueError(
            "this machine has no log Z: its Gaussian units pull one another to infinity (least "
            f"eigenvalue of the precision {least:.3g}, which must be above 0); make the weights "
            "smaller, or take other hidden units"
        )
    pull = path.hidden_bias.double() + (scaled * bias) @ weights
    whitened = torch.linalg.solve_triangular(factor, pull.unsqueeze(2), upper=False)
    log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    alone = path.visible_units.log_partition(torch.zeros_like(bias))
    constant = free @ alone.expand(len(bias)) + 0.5 * weights.shape[1] * math.log(2 * math.pi)
    exponent = path.visible_units.log_partition(bias) - alone
    return constant + free @ exponent + 0.5 * (whitened.square().sum((1, 2)) - log_det)


def _sides(path: Tempered) -> tuple[tuple[Units, int], tuple[Units, int]]:
    hidden, visible = path.hidden_units, path.visible_units
    return (visible, len(path.visible_bias)), (hidden, len(path.hidden_bias))


def _states(units: Units, like: Float[Tensor, "batch entry"]) -> Iterator[Tensor]:
    """All states of a side as entries, some at a time, in float64."""
    base = units.num_values
    assert base is not None
    number = like.shape[1] // units.width(1)
    powers = base ** torch.arange(number - 1, -1, -1, device=like.device)
    for start in range(0, base**number, CHUNK):
        codes = torch.arange(start, min(start + CHUNK, base**number), device=like.device)
        yield units.states((codes.unsqueeze(1) // powers % base).double())
