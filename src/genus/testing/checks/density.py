"""What a density owes: one number a row, and for an exact one a total of one."""

import torch
from torch import Tensor

from genus.engine.seeding import seeded
from genus.model import AnnealedBound, Density, Exact, LowerBound, Model
from genus.spaces import Binary, Categorical, Pixels, Real
from genus.testing.case import CPU, Case, Skipped
from genus.testing.checks.everyone import _bad_data, refuses
from genus.testing.statistics import assert_follows

__all__ = [
    "bad_data_are_value_errors",
    "frequencies",
    "listed",
    "log_prob_equals_reference",
    "log_prob_has_one_number_a_row",
    "rows_do_not_see_one_another",
    "samples_follow_log_prob",
    "some_conditions",
    "sums_to_one",
]

MOST_LISTED = 5000
GRID = 240
CELLS = 8


def log_prob_has_one_number_a_row(case: Case) -> None:
    """``log_prob`` has shape (batch,), is finite, and is repeatable by seed.

    Exact values and bounds have a gradient by which they can be raised; an estimate or an
    annealed bound, whose constant may come from a Markov chain, need not have one.
    """
    model, x, condition = _density(case, 7)
    values = model.log_prob(x, condition=condition)
    assert tuple(values.shape) == (7,), f"shape {tuple(values.shape)}"
    assert bool(torch.isfinite(values).all()), "log_prob is not finite"
    assert values.dtype == torch.float64, f"log_prob of a float64 model is {values.dtype}"
    if isinstance(model, Exact | LowerBound) and not isinstance(model, AnnealedBound):
        assert values.requires_grad, "log_prob has no gradient"
        wanted = [p for p in model.parameters() if p.requires_grad]
        found = torch.autograd.grad(values.sum(), wanted, allow_unused=True)
        slopes = [gradient for gradient in found if gradient is not None]
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes), "gradient not finite"
        assert any(bool(slope.any()) for slope in slopes), "the gradient of log_prob is zero"
    array = x.numpy()
    with seeded(5, CPU):
        first = model.log_prob(array, condition=condition)
    with seeded(5, CPU):
        assert torch.equal(first, model.log_prob(x, condition=condition)), "arrays differ"


def rows_do_not_see_one_another(case: Case) -> None:
    """A row's value does not depend on the other rows of its batch."""
    model, x, condition = _density(case, 6)
    if isinstance(model, Exact):
        whole = model.log_prob(x, condition=condition)
        rows = [
            model.log_prob(x[i : i + 1], condition=None if condition is None else condition[i])
            for i in range(len(x))
        ]
        assert torch.allclose(whole, torch.cat(rows), atol=1e-8), "a batch differs from its rows"
    other = x.clone()
    other[3:] = other[:3]
    with seeded(5, CPU):
        first = model.log_prob(x, condition=condition)
    with seeded(5, CPU):
        second = model.log_prob(other, condition=condition)
    assert torch.allclose(first[:3], second[:3], atol=1e-8), "rows depend on their neighbours"
    assert not torch.allclose(first[3:], second[3:], atol=1e-8), "log_prob ignores x"


def bad_data_are_value_errors(case: Case) -> None:
    """Data of another shape, NaN, and values beyond the space raise ValueError."""
    model, x, condition = _density(case, 6)
    for what, bad in _bad_data(model, x).items():
        refuses(f"log_prob of {what}", lambda b=bad: model.log_prob(b, condition=condition))
    refuses("log_prob of text", lambda: model.log_prob("abc", condition=condition))


@torch.no_grad()
def sums_to_one(case: Case) -> None:
    """Σ p(x) = 1 over all points, or ∫ p(x) dx = 1 by quadrature in one or two dimensions."""
    model = _stiff_density(case)
    for condition in some_conditions(case):
        if isinstance(model.space, Real):
            _, mass = _quadrature(model, condition)
            total, tolerance = float(mass.sum()), 1e-3
        else:
            points = listed(model)
            total = float(_all_log_probs(model, points, condition).exp().sum())
            tolerance = 1e-6
        assert abs(total - 1) < tolerance, f"probabilities sum to {total:.8g}"


@torch.no_grad()
def samples_follow_log_prob(case: Case) -> None:
    """Frequencies of samples agree with p(x), by a G-test (false-alarm rate 1 in 100,000)."""
    model = _stiff_density(case)
    for condition in some_conditions(case):
        x = model.sample(case.num_samples, condition=condition, seed=1)
        if isinstance(model.space, Real):
            edges, mass = _quadrature(model, condition)
            counts, probabilities = _cells(x.flatten(1), edges, mass)
        else:
            points = listed(model)
            counts = frequencies(x, model)
            probabilities = _all_log_probs(model, points, condition).exp()
        assert_follows(counts, probabilities, "samples against log_prob")


@torch.no_grad()
def log_prob_equals_reference(case: Case) -> None:
    """``log_prob`` is what another way of computing it gives."""
    if case.reference is None:
        raise Skipped("no reference")
    model, x, condition = _density(case, 20)
    distance = (model.log_prob(x, condition=condition) - case.reference(model, x, condition)).abs()
    assert float(distance.max()) < 1e-6, f"log_prob is off by {float(distance.max()):.3g} nats"


def listed(model: Model) -> Tensor:
    """Every point of a small finite space, in the order of :func:`frequencies`."""
    space = model.space
    if not isinstance(space, Binary | Categorical | Pixels):
        raise Skipped(f"{space} cannot be listed")
    if _levels(model) ** space.num_dimensions > MOST_LISTED:
        raise Skipped(f"{space} has too many points to list; give the case a smaller one")
    return space.check(space.points(), like=model.example)


def frequencies(x: Tensor, model: Model) -> Tensor:
    """How often each point occurs among x, in the order of the space's ``points``."""
    size, levels = model.space.num_dimensions, _levels(model)
    weights = levels ** torch.arange(size - 1, -1, -1)
    return torch.bincount((x.flatten(1).long() * weights).sum(1), minlength=levels**size)


def some_conditions(case: Case) -> list[Tensor | None]:
    """None, or up to two conditions that occur."""
    return [None] if case.condition is None else list(case.condition.unique(dim=0)[:2])


def _levels(model: Model) -> int:
    space = model.space
    return space.num_categories if isinstance(space, Categorical) else int(space.levels)  # type: ignore[attr-defined]


def _stiff_density(case: Case) -> Density:
    model = case.stiff()
    assert isinstance(model, Density)
    return model


def _density(case: Case, n: int) -> tuple[Density, Tensor, Tensor | None]:
    """The stiff model, n rows of data, and their conditions."""
    model = _stiff_density(case)
    x = model.space.check(case.data[:n], like=model.example)
    return model, x, None if case.condition is None else case.condition[:n]


def _all_log_probs(model: Density, points: Tensor, condition: Tensor | None) -> Tensor:
    parts = [model.log_prob(part, condition=condition) for part in points.split(512)]
    return torch.cat(parts)


def _quadrature(model: Density, condition: Tensor | None) -> tuple[list[Tensor], Tensor]:
    """Cell edges of a wide grid about the samples, and p(centre) · volume of every cell."""
    size = model.space.num_dimensions
    if size > 2:
        raise Skipped("quadrature needs one or two dimensions; give the case a smaller space")
    drawn = model.sample(500, condition=condition, seed=9).flatten(1).double()
    middle, reach = drawn.mean(0), 10 * drawn.std(0)
    edges = [torch.linspace(-1, 1, GRID + 1).double() * reach[d] + middle[d] for d in range(size)]
    centres = [(e[1:] + e[:-1]) / 2 for e in edges]
    grid = torch.cartesian_prod(*centres).reshape(-1, *model.space.shape)
    volume = torch.stack([e[1] - e[0] for e in edges]).prod()
    return edges, (_all_log_probs(model, grid, condition).exp() * volume).reshape([GRID] * size)


def _cells(x: Tensor, edges: list[Tensor], mass: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and probabilities of coarse cells, whose borders are quantiles of the mass."""
    index, coarse = torch.zeros(len(x), dtype=torch.long), []
    for d, edge in enumerate(edges):
        margin = mass.movedim(d, 0).flatten(1).sum(1).cumsum(0)
        cell = (margin / margin[-1] * CELLS).clamp(max=CELLS - 1e-9).long()
        inside = (torch.searchsorted(edge, x[:, d].contiguous()) - 1).clamp(0, GRID - 1)
        index = index * CELLS + cell[inside]
        coarse.append(cell)
    place = coarse[0] if len(coarse) == 1 else coarse[0][:, None] * CELLS + coarse[1][None, :]
    number = CELLS ** len(edges)
    probabilities = torch.zeros(number, dtype=mass.dtype)
    probabilities.index_add_(0, place.flatten(), mass.flatten())
    return torch.bincount(index, minlength=number), probabilities
