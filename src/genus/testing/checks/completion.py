"""What filling in and going on owe: what was given stays, what is drawn follows."""

import torch
from torch import Tensor

from genus.model import Completes, Continues, Energy, Exact, Model, Predicts
from genus.testing.case import Case, Skipped
from genus.testing.checks.bounds import exact_log_prob
from genus.testing.checks.density import frequencies, listed, some_conditions
from genus.testing.checks.everyone import refuses
from genus.testing.statistics import assert_follows

__all__ = [
    "conditional_log_prob_keeps_its_sign",
    "draws_follow_the_conditional",
    "observed_entries_survive",
    "prefix_survives",
    "seeds_complete_differently",
]


def observed_entries_survive(case: Case) -> None:
    """Observed entries come back as they were, others lie in the space; bad masks are refused."""
    model, x, condition = _completes(case, 8)
    generator = torch.Generator().manual_seed(3)
    masks = [torch.rand(x.shape, generator=generator) < share for share in (0.5, 2.0, -1.0)]
    for mask in masks:
        filled = model.complete(x, mask, condition=condition, seed=1)
        assert filled.shape == x.shape, f"shape {tuple(filled.shape)}"
        assert torch.equal(filled[mask], x[mask]), "an observed entry changed"
        assert model.space.contains(filled), f"completions are not in {model.space}"
    refuses("a mask of numbers", lambda: model.complete(x, masks[0].double(), condition=condition))
    refuses(
        "a mask of another shape",
        lambda: model.complete(x, torch.ones(3, 5, 7, 9, 2).bool(), condition=condition),
    )


def seeds_complete_differently(case: Case) -> None:
    """A seed decides the completion, another gives another; what was missing has no influence."""
    model, x, condition = _completes(case, 40)
    mask = _half(x)
    first = model.complete(x, mask, condition=condition, seed=1)
    assert torch.equal(first, model.complete(x, mask, condition=condition, seed=1)), "same seed"
    other = model.complete(x, mask, condition=condition, seed=2)
    assert not torch.equal(first, other), "the seed changes nothing"
    spoilt = torch.where(mask, x, x[torch.arange(len(x) - 1, -1, -1)])
    again = model.complete(spoilt, mask, condition=condition, seed=1)
    assert not torch.equal(spoilt, x), "the data of the case are all alike"
    assert torch.equal(first, again), "what is hidden by the mask shows through"


@torch.no_grad()
def draws_follow_the_conditional(case: Case) -> None:
    """Completions follow p(missing | observed) by enumeration (false-alarm rate 1 in 100,000)."""
    model, x, _ = _completes(case, 1)
    if not case.completion:
        raise Skipped("completes approximately")
    if not isinstance(model, Exact | Energy):
        raise Skipped("no exact conditional to compare with")
    points = listed(model)
    mask = _half(x)
    for condition in some_conditions(case):
        fits = ((points == x) | ~mask).flatten(1).all(1)
        if isinstance(model, Exact):
            log_probs = model.log_prob(points, condition=condition)
        else:
            log_probs = -model.free_energy(points)
        probabilities = log_probs.masked_fill(~fits, -torch.inf).softmax(0)
        rows = x.expand(case.num_samples, *x.shape[1:])
        drawn = model.complete(rows, mask, condition=condition, seed=4)
        assert_follows(frequencies(drawn, model), probabilities, "completions")


@torch.no_grad()
def conditional_log_prob_keeps_its_sign(case: Case) -> None:
    """It is log p(missing | observed) by enumeration, or on its side of it as its sign says.

    On average over 60 draws, to 5 of their standard errors (false-alarm rate 1 in 1,000,000),
    and within 0.3 nats of it. Of all that is observed nothing is left to say: 0.
    """
    model, x, _ = _completes(case, 6)
    assert isinstance(model, Predicts)
    points = listed(model)
    mask = _half(x)
    for condition in some_conditions(case):
        log_p = _enumerated(case, model, points, condition)
        if log_p is None:
            raise Skipped("no reference to compare with")
        for row in x.unique(dim=0)[:3]:
            fits = ((points == row) | ~mask[0]).flatten(1).all(1)
            at = (points == row).flatten(1).all(1)
            truth = float(log_p[at].logsumexp(0) - log_p[fits].logsumexp(0))
            rows = row.expand(60, *row.shape)
            drawn = model.conditional_log_prob(rows, mask[:1], condition=condition, seed=6)
            mean = float(drawn.value.double().mean())
            slack = 1e-6 + 5 * float(drawn.value.double().std()) / 60**0.5
            sides = {"=": (1, 1), ">=": (0, 1), "<=": (1, 0), "~": (0, 0)}
            least, most = sides[drawn.sign]
            text = f"{drawn.sign} {mean:.6g} ± {slack / 5:.2g} where {truth:.6g} is right"
            assert mean > truth - (slack if least else 0.3 + slack), text
            assert mean < truth + (slack if most else 0.3 + slack), text
        everything = torch.ones_like(mask)
        known = model.conditional_log_prob(x, everything, condition=condition, seed=6)
        assert float(known.value.abs().max()) < 1e-6, "something is missing where nothing is"


def _enumerated(
    case: Case, model: Model, points: Tensor, condition: Tensor | None
) -> Tensor | None:
    """log p of every point, up to a constant."""
    if isinstance(model, Exact):
        return model.log_prob(points, condition=condition)
    given = None if condition is None else condition.expand(len(points), *condition.shape)
    return exact_log_prob(case, model, points, given)


def prefix_survives(case: Case) -> None:
    """``continue_`` keeps its prefix and adds as many elements as were asked for."""
    model = case.stiff()
    assert isinstance(model, Continues)
    x = model.space.check(case.data[:4], like=model.example)
    given = None if case.condition is None else case.condition[:4]
    prefix = x[:, : max(1, x.shape[1] // 2)]
    longer = model.continue_(prefix, 2, condition=given, seed=1)
    assert longer.shape[1] == prefix.shape[1] + 2, f"length {longer.shape[1]}"
    assert torch.equal(longer[:, : prefix.shape[1]], prefix), "the prefix changed"


def _half(x: Tensor) -> Tensor:
    """A mask without pattern that hides about half of each row, the same in all."""
    generator = torch.Generator().manual_seed(5)
    mask = torch.rand(x[0].numel(), generator=generator) < 0.5
    mask[0], mask[-1] = True, False
    return mask.reshape(1, *x.shape[1:]).expand(x.shape)


def _completes(case: Case, n: int) -> tuple[Completes, Tensor, Tensor | None]:
    model = case.stiff()
    assert isinstance(model, Completes)
    x = model.space.check(case.data[:n], like=model.example)
    return model, x, None if case.condition is None else case.condition[:n]
