"""What an energy owes: a chain that keeps its distribution."""

import torch

from genus.engine.seeding import seeded
from genus.model import Density, Energy
from genus.testing.case import CPU, Case, Skipped
from genus.testing.checks.density import frequencies, listed
from genus.testing.statistics import assert_follows

__all__ = [
    "free_energy_differences_are_log_prob_differences",
    "gibbs_keeps_the_distribution",
    "rows_of_free_energy_are_independent",
]

CHAINS = 20000


@torch.no_grad()
def gibbs_keeps_the_distribution(case: Case) -> None:
    """Exact draws are exact draws after a Gibbs step (false-alarm rate 1 in 100,000)."""
    model = _energy(case)
    points = listed(model)
    probabilities = (-model.free_energy(points)).softmax(0)
    generator = torch.Generator().manual_seed(1)
    rows = torch.multinomial(probabilities, CHAINS, replacement=True, generator=generator)
    start = points[rows]
    after = model.gibbs(start, seed=2)
    assert model.space.contains(after), "a Gibbs step left the space"
    assert not torch.equal(after, start), "a Gibbs step moves nothing"
    assert_follows(frequencies(after, model), probabilities, "one Gibbs step")
    assert_follows(
        frequencies(model.gibbs(after, steps=3, seed=3), model), probabilities, "four Gibbs steps"
    )


@torch.no_grad()
def free_energy_differences_are_log_prob_differences(case: Case) -> None:
    """log p(a) − log p(b) = F(b) − F(a): the constant is the same for all data."""
    model = _energy(case)
    if not isinstance(model, Density):
        raise Skipped("no log_prob")
    x = model.space.check(case.data[:6], like=model.example)
    with seeded(0, CPU):
        constant = model.log_prob(x) + model.free_energy(x)
    assert float((constant - constant[0]).abs().max()) < 1e-6, "log Z differs between data"


def rows_of_free_energy_are_independent(case: Case) -> None:
    """A batch equals its rows; shape (batch,), with a gradient."""
    model = _energy(case)
    x = model.space.check(case.data[:6], like=model.example)
    whole = model.free_energy(x)
    assert tuple(whole.shape) == (6,), f"shape {tuple(whole.shape)}"
    assert whole.requires_grad, "free_energy has no gradient"
    rows = torch.cat([model.free_energy(row.unsqueeze(0)) for row in x])
    assert torch.allclose(whole, rows, atol=1e-8), "a batch differs from its rows"


def _energy(case: Case) -> Energy:
    model = case.stiff()
    assert isinstance(model, Energy)
    return model
