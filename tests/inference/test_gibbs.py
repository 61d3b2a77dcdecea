import torch

from genus.inference.gibbs import bernoulli


def test_bernoulli_draws_with_the_given_probabilities():
    torch.manual_seed(0)
    n = 200_000
    p = torch.tensor([0.0, 1e-3, 0.2, 0.5, 0.93, 1.0], dtype=torch.float64)
    draws = bernoulli(p.expand(n, -1))
    assert draws.dtype == p.dtype
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    mean = draws.mean(0)
    assert mean[0] == 0
    assert mean[-1] == 1
    # false alarm of a 5.5 sigma interval, 4 cells: 2e-7
    assert ((mean - p).abs() <= 5.5 * (p * (1 - p) / n).sqrt()).all()


def test_bernoulli_carries_no_gradient():
    p = torch.full((3,), 0.5, requires_grad=True)
    assert not bernoulli(p).requires_grad
