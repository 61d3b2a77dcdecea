"""Sequential Monte Carlo for models that are products of p(xᵢ | x before i).

Ancestral sampling draws the entries in order. Completion draws the missing ones, keeps the
observed ones, and weights each particle by how probable it made what was observed, so that
entries after a gap count as much as those before it (Gordon, Salmond & Smith 1993; Doucet &
Johansen 2009).
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genus.distributions import Head

__all__ = ["Completion", "Walk", "complete", "draw", "observed_first", "systematic"]


class Walk(Protocol):
    """A model's pass over the entries of some rows of data, one entry after the other.

    Attributes:
        num_steps: how many entries there are.
    """

    num_steps: int

    def predict(self) -> Float[Tensor, "row parameter 1"]:
        """The parameters of the next entry given all before it."""

    def commit(self, features: Float[Tensor, "row feature 1"]) -> None:
        """Makes the next entry known."""

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Goes on with these rows, by number; a row may be taken several times or never."""


Features = Callable[[Tensor], Tensor]


class Completion(NamedTuple):
    """What :func:`complete` returns.

    Attributes:
        x: completed data in the walk's order, shape ``(batch, steps)``.
        log_evidence: log of the unbiased estimate of p(observed), shape ``(batch,)``.
    """

    x: Tensor
    log_evidence: Tensor


def draw(walk: Walk, head: Head, features: Features) -> Tensor:
    """Ancestral draws, in the walk's order, shape ``(rows, steps)``."""
    values = []
    for _ in range(walk.num_steps):
        values.append(head.sample(walk.predict()))
        walk.commit(features(values[-1]))
    return torch.cat(values, dim=1)


def complete(
    walk: Walk,
    head: Head,
    features: Features,
    x: Tensor,
    observed: Bool[Tensor, "batch step"],
    num_particles: int,
    threshold: float = 0.5,
) -> Completion:
    """Draws of the missing entries from (almost) p(missing | all that is observed).

    Exact as the number of particles grows, and exact with any number where all that is
    observed comes before all that is missing. Particles stand only between the first missing
    and the last observed entry; elsewhere a row stands for each datum.

    Args:
        walk: at its start, with a row for each datum.
        head: distribution of an entry.
        features: from entries to what the walk is told of them.
        x: data in the walk's order, shape ``(batch, steps)``.
        observed: which entries are known.
        num_particles: for each datum.
        threshold: share of effective particles below which a datum's are drawn anew.
    """
    batch, steps = observed.shape
    opens, closes = _gap(observed)
    rows = torch.arange(batch, device=x.device)
    evidence, weights = torch.zeros(batch, device=x.device), None
    trail = x[:, :0]
    for step in range(steps):
        if opens == step < closes:
            rows = rows.repeat_interleave(num_particles)
            walk.select(rows)
            trail = trail[rows]
            weights = evidence.new_zeros(batch, num_particles)
        parameters = walk.predict()
        known, seen = x[rows, step, None], observed[rows, step, None]
        value = torch.where(seen, known, head.sample(parameters).to(x.dtype))
        gain = torch.where(seen, head.log_prob(parameters, known), 0.0)
        trail = torch.cat([trail, value], dim=1)
        walk.commit(features(value))
        if weights is None:
            evidence = evidence + gain.squeeze(1)
            continue
        weights = weights + gain.view(batch, num_particles)
        few = _effective(weights) < threshold * num_particles
        if step < closes and not bool(few.any()):
            continue
        gathered = weights.logsumexp(1) - math.log(num_particles)
        if step < closes:
            chosen = torch.where(few[:, None], systematic(weights), _everyone(weights))
            evidence = evidence + torch.where(few, gathered, 0.0)
            weights = torch.where(few[:, None], 0.0, weights)
        else:
            chosen = torch.multinomial(weights.softmax(1), 1)
            evidence, weights = evidence + gathered, None
            rows = rows[::num_particles]
        chosen = (chosen + num_particles * torch.arange(batch, device=x.device)[:, None]).flatten()
        walk.select(chosen)
        trail = trail[chosen]
    return Completion(trail, evidence)


def observed_first(observed: Bool[Tensor, "batch step"]) -> bool:
    """Whether all that is observed comes before all that is missing, in every row.

    Then the evidence is exact; else its expectation is p(observed), so that its logarithm is at
    most log p(observed) on average.
    """
    return not bool((observed[:, 1:] & ~observed[:, :-1]).any())


def systematic(weights: Float[Tensor, "batch particle"]) -> Int[Tensor, "batch particle"]:
    """Numbers of the particles to go on with, from log weights, by one uniform draw a row.

    Each particle is taken its expected number of times, rounded down or up (Kitagawa 1996).
    """
    edges = weights.softmax(1).cumsum(1)
    number = weights.shape[1]
    points = torch.rand(len(weights), 1).to(edges) + torch.arange(number).to(edges)
    chosen = torch.searchsorted(edges / edges[:, -1:], points / number)
    return chosen.clamp_max(number - 1)


def _gap(observed: Tensor) -> tuple[int, int]:
    """The first step that is missing in any row, and the last that is observed in any."""
    steps = observed.shape[1]
    missing, known = (~observed).any(0).nonzero(), observed.any(0).nonzero()
    first = int(missing[0]) if len(missing) else steps
    return first, int(known[-1]) if len(known) else -1


def _effective(weights: Tensor) -> Tensor:
    """1 / Σ w² of the normalised weights: between 1 and the number of particles."""
    return 1.0 / weights.softmax(1).square().sum(1)


def _everyone(weights: Tensor) -> Tensor:
    return torch.arange(weights.shape[1], device=weights.device).expand_as(weights)
