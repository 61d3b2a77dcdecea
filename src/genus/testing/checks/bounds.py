"""What a bound and an estimate owe: their side of log p(x), and coming close to it."""

import math

import torch
from torch import Tensor

from genus.model import Energy, Estimate, LowerBound, Model
from genus.testing.case import Case, Skipped
from genus.testing.checks.density import _density, listed, some_conditions
from genus.testing.statistics import FALSE_ALARM, z_test

__all__ = ["bound_closes", "bound_is_below", "estimate_agrees", "exact_log_prob"]

ROWS, DRAWS = 8, 400


def exact_log_prob(case: Case, model: Model, x: Tensor, condition: Tensor | None) -> Tensor | None:
    """The case's reference; for an energy over a small space, enumeration; else None."""
    if case.reference is not None:
        return case.reference(model, x, condition)
    if isinstance(model, Energy):
        try:
            points = listed(model)
        except Skipped:
            return None
        return -model.free_energy(x) - (-model.free_energy(points)).logsumexp(0)
    return None


@torch.no_grad()
def bound_is_below(case: Case) -> None:
    """The mean of the bound exceeds log p(x) nowhere (false-alarm rate 1 in 100,000).

    Without a reference, Σ exp(bound) ≤ 1 over all points of a small finite space.
    """
    model, x, condition = _density(case, ROWS)
    assert isinstance(model, LowerBound)
    exact = exact_log_prob(case, model, x, condition)
    if exact is None:
        return _bound_sums_to_one_at_most(case, model)
    draws = _draws(model, x, condition, effort=1)
    mean, error = draws.mean(0), draws.std(0) / math.sqrt(DRAWS)
    for value, se, truth in zip(mean.tolist(), error.tolist(), exact.tolist(), strict=True):
        above = value > truth + 1e-9
        p_value = z_test(value, truth, se) if above else 1.0
        assert p_value > FALSE_ALARM / ROWS, f"bound {value:.5g} ± {se:.2g} above {truth:.5g}"


@torch.no_grad()
def bound_closes(case: Case) -> None:
    """More effort raises the bound, to within the case's ``gap`` of log p(x)."""
    model, x, condition = _density(case, ROWS)
    assert isinstance(model, LowerBound)
    if case.gap is None:
        raise Skipped("this bound does not close")
    loose = _draws(model, x, condition, effort=1).mean()
    tight = model.lower_bound(x, effort=case.effort, condition=condition, seed=1).mean()
    assert tight > loose - 1e-3, f"effort lowers the bound from {loose:.5g} to {tight:.5g}"
    exact = exact_log_prob(case, model, x, condition)
    if exact is None:
        raise Skipped("no reference to close on")
    gap = float(exact.mean() - tight)
    assert gap < case.gap, f"{gap:.4g} nats below log p(x) at effort {case.effort}"


@torch.no_grad()
def estimate_agrees(case: Case) -> None:
    """The estimate is log p(x) up to its standard error, which is honest.

    Each seed has draws of its own where there is an error at all, and gives the same again.
    Over 12 seeds the mean of (estimate − log p) / s.e. is within 5/√12 · 1.5 of zero, and its
    root mean square below 3 (false-alarm rate about 1 in 100,000 for a normal estimate).
    """
    model, x, condition = _density(case, ROWS)
    assert isinstance(model, Estimate)
    exact = exact_log_prob(case, model, x, condition)
    if exact is None:
        raise Skipped("no reference, and no energy over a small space")
    scores, errors, values = [], [], []
    for seed in range(12):
        found = model.estimate(x, effort=case.effort, condition=condition, seed=seed)
        assert found.value.shape == exact.shape == found.standard_error.shape, "shape"
        assert bool((found.standard_error >= 0).all()), "a standard error is negative"
        assert bool((found.standard_error < 0.5).all()), "effort leaves an error above 0.5 nats"
        values.append(found.value)
        errors.append(found.standard_error)
        difference = found.value - exact
        scores.append((difference / found.standard_error.clamp_min(1e-6)).mean())
    again = model.estimate(x, effort=case.effort, condition=condition, seed=11).value
    assert torch.equal(again, values[-1]), "the same seed gives another estimate"
    if bool((torch.stack(errors) > 0).all()):
        assert len(torch.stack(values).unique(dim=0)) == 12, "seeds share their draws"
    score = torch.stack(scores)
    assert abs(float(score.mean())) < 5 / math.sqrt(12) * 1.5, (
        f"estimates are {float(score.mean()):.2g} standard errors off on average"
    )
    spread = float((score**2).mean().sqrt())
    assert spread < 3, f"standard errors are too small by a factor of {spread:.2g}"


def _draws(model: LowerBound, x: Tensor, condition: Tensor | None, effort: int) -> Tensor:
    """Independent draws of the bound, shape (draws, batch)."""
    times = 50
    rows = x.repeat(times, *[1] * (x.ndim - 1))
    given = None if condition is None else condition.repeat(times, *[1] * (condition.ndim - 1))
    parts = [
        model.lower_bound(rows, effort=effort, condition=given, seed=seed)
        for seed in range(DRAWS // times)
    ]
    return torch.cat(parts).reshape(-1, len(x))


def _bound_sums_to_one_at_most(case: Case, model: LowerBound) -> None:
    points = listed(model)
    for condition in some_conditions(case):
        bounds = [
            model.lower_bound(points, effort=1, condition=condition, seed=seed)
            for seed in range(100)
        ]
        total = float(torch.stack(bounds).mean(0).exp().sum())
        assert total < 1.02, f"exp(bound) sums to {total:.5g}, more than one"
