import math

import pytest
import torch

from genus.engine import Batch
from genus.models import RBM, BoltzmannMachine
from genus.objectives import ratio_matching
from genus.objectives.ratio_matching import RatioMatching
from genus.spaces import Binary, Real


def stiff(seed=3, scale=1.2, hidden="binary"):
    model = RBM(Binary((2, 2)), 3, hidden=hidden).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def by_hand(model, x):
    """Σᵢ g(p(x)/p(x̄ⁱ))² with g(u) = 1/(1 + u), one flip after another."""
    total = 0.0
    for row in x:
        for i in range(row.numel()):
            other = row.clone().flatten()
            other[i] = 1 - other[i]
            pair = torch.stack([row, other.reshape(row.shape)])
            up, down = (-model.free_energy(pair)).exp()
            total = total + (1 / (1 + up / down)) ** 2
    return total / len(x)


@pytest.mark.parametrize("hidden", ["binary", "gaussian"])
def test_loss_and_gradient_equal_a_sum_over_single_flips(hidden, monkeypatch):
    model = stiff(hidden=hidden, scale=0.9)
    x = model.space.random(5).double()
    for rows in (1 << 13, 6):
        monkeypatch.setattr(ratio_matching, "ROWS", rows)
        found, wanted = RatioMatching()(model, Batch(x))["loss"], by_hand(model, x)
        assert torch.allclose(found, wanted, atol=1e-10)
        parameters = list(model.parameters())
        for a, b in zip(
            torch.autograd.grad(found, parameters),
            torch.autograd.grad(wanted, parameters),
            strict=True,
        ):
            assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("make", [lambda: stiff(8, 0.4), lambda: BoltzmannMachine(Binary((2, 2)))])
def test_minimising_it_recovers_the_distribution_of_the_data(make):
    torch.manual_seed(0)
    truth = BoltzmannMachine(Binary((2, 2))).double()
    with torch.no_grad():
        for p in truth.parameters():
            p.copy_(1.2 * torch.randn(p.shape).double())
    points = truth.space.points().double()
    log_p = (-truth.free_energy(points)).log_softmax(0).detach()
    x = points[torch.repeat_interleave(torch.arange(16), (log_p.exp() * 4000).round().long())]
    model = make().double()
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-13
    )

    def divergence():
        return float((log_p.exp() * (log_p + model.free_energy(points).detach())).sum()) + float(
            (-model.free_energy(points)).logsumexp(0)
        )

    def closure():
        optimiser.zero_grad()
        loss = RatioMatching()(model, Batch(x))["loss"]
        loss.backward()
        return loss

    before = divergence()
    optimiser.step(closure)
    assert divergence() < 1e-3 < 0.1 < before
    assert math.isfinite(before)


def test_data_that_cannot_be_flipped_are_refused():
    with pytest.raises(ValueError, match="ratio matching needs binary data"):
        RatioMatching()(RBM(Real((3,)), 2), Batch(torch.zeros(2, 3)))
