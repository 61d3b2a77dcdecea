"""The forward process, against Bayes' rule on a grid, autograd and torch's own Gaussians."""

import math

import pytest
import torch

from genus.inference.path import Path, variance_preserving, widen


def exploding() -> Path:
    """A path that does not preserve variance."""
    sigma = torch.tensor([0.0, 0.2, 0.9, 4.0], dtype=torch.float64)
    return Path(torch.ones(4), sigma)


def straight() -> Path:
    """αₜ = 1 − t/T, σₜ = t/T, short of the end."""
    u = torch.linspace(0, 0.97, 6, dtype=torch.float64)
    return Path(1 - u, u)


PATHS = {
    "cosine": lambda: variance_preserving(7, "cosine", least_sigma=0.05),
    "linear": lambda: variance_preserving(9, "linear"),
    "log-linear": lambda: variance_preserving(5, "log-linear", least_sigma=0.3),
    "exploding": exploding,
    "straight": straight,
}


@pytest.fixture(params=PATHS)
def path(request):
    return PATHS[request.param]()


def normal(x, mean, variance):
    return torch.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


def test_posterior_is_bayes_rule(path):
    for t in range(2, path.num_steps + 1):
        for s in {1, t - 1}:
            now, then = torch.tensor([t]), torch.tensor([s])
            x0, x_t = -0.7, 1.3 * float(path.sigma[t])
            ratio = float(path.alpha[t] / path.alpha[s])
            rest = float(path.sigma[t] ** 2 - (ratio * path.sigma[s]) ** 2)
            a, b, v = (float(c) for c in path.posterior(now, then))
            mean = a * x_t + b * x0
            grid = torch.linspace(mean - 9 * v**0.5, mean + 9 * v**0.5, 4001, dtype=torch.float64)
            prior = normal(grid, float(path.alpha[s]) * x0, float(path.sigma[s]) ** 2)
            weight = prior * normal(x_t, ratio * grid, rest)
            weight = weight / weight.sum()
            found = float((weight * grid).sum())
            assert found == pytest.approx(mean, abs=1e-8)
            assert float((weight * (grid - found) ** 2).sum()) == pytest.approx(v, rel=1e-6)


def test_posterior_at_zero_is_the_datum(path):
    a, b, v = path.posterior(torch.tensor([2]), torch.tensor([0]))
    assert (float(a), float(b), float(v)) == (0.0, pytest.approx(1.0, abs=1e-15), 0.0)


def test_transitions_compose(path):
    t, s = torch.tensor([path.num_steps]), torch.tensor([1])
    scale, variance = path.transition(t, s)
    torch.testing.assert_close(scale * path.alpha[s], path.alpha[t])
    torch.testing.assert_close(scale**2 * path.sigma[s] ** 2 + variance, path.sigma[t] ** 2)


@pytest.mark.parametrize("kind", ["x", "epsilon", "v", "score"])
def test_conversions_are_inverse(path, kind):
    t = torch.arange(1, path.num_steps + 1)
    x0, noise = torch.randn(2, len(t), 2, 3, dtype=torch.float64)
    x_t = path.noised(x0, t, noise)
    value = path.from_x0(kind, x0, x_t, t)
    torch.testing.assert_close(path.to_x0(kind, value, x_t, t), x0)
    alpha, sigma = widen(path.alpha[t], x0), widen(path.sigma[t], x0)
    truth = {"x": x0, "epsilon": noise, "v": alpha * noise - sigma * x0, "score": -noise / sigma}
    torch.testing.assert_close(value, truth[kind])
    moved = path.to_x0(kind, value + 0.1, x_t, t) - x0
    scale = widen(path.error_scale(kind, t), x0)
    torch.testing.assert_close(moved**2, 0.01 * scale.expand_as(moved))


def test_score_is_the_gradient_of_log_q(path):
    t = torch.arange(1, path.num_steps + 1)
    x0, noise = torch.randn(2, len(t), 3, dtype=torch.float64)
    x_t = path.noised(x0, t, noise).requires_grad_()
    alpha, sigma = widen(path.alpha[t], x0), widen(path.sigma[t], x0)
    log_q = torch.distributions.Normal(alpha * x0, sigma).log_prob(x_t).sum()
    (gradient,) = torch.autograd.grad(log_q, x_t)
    torch.testing.assert_close(path.from_x0("score", x0, x_t.detach(), t), gradient)


def test_prior_divergence(path):
    x0 = torch.randn(4, 2, 3, dtype=torch.float64)
    total = (path.alpha[-1] ** 2 + path.sigma[-1] ** 2).sqrt()
    q = torch.distributions.Normal(path.alpha[-1] * x0, path.sigma[-1])
    p = torch.distributions.Normal(torch.zeros_like(x0), total)
    truth = torch.distributions.kl_divergence(q, p).sum((1, 2))
    torch.testing.assert_close(path.prior_divergence(x0), truth)


def test_reverse_spans_small_and_large_variance():
    path = variance_preserving(6, "cosine", least_sigma=0.1)
    t, s = torch.tensor([4]), torch.tensor([3])
    x = torch.zeros(1, 2, dtype=torch.float64)
    _, small = path.reverse(x, x, t, s)
    _, large = path.reverse(x, x, t, s, path.sigma[4] ** 2)
    beta = 1 - (path.alpha[4] / path.alpha[3]) ** 2
    torch.testing.assert_close(large, beta.reshape(1))
    posterior = beta * (1 - path.alpha[3] ** 2) / (1 - path.alpha[4] ** 2)
    torch.testing.assert_close(small, posterior.reshape(1))


@pytest.mark.parametrize("schedule", ["cosine", "linear", "log-linear"])
def test_schedules_preserve_variance(schedule):
    path = variance_preserving(1000, schedule, least_sigma=0.02)
    torch.testing.assert_close(path.alpha**2 + path.sigma**2, torch.ones(1001).double())
    if schedule != "linear":
        assert float(path.sigma[1]) == pytest.approx(0.02)
        assert float(path.log_snr(torch.tensor([1000]))) == pytest.approx(-12.0)
    steps = path.log_snr(torch.arange(1, 1001)).diff()
    assert bool((steps < 0).all())
    if schedule == "log-linear":
        torch.testing.assert_close(steps, steps[:1].expand_as(steps))
    if schedule == "cosine":
        angle = torch.atan2(path.sigma, path.alpha)[1:].diff()
        torch.testing.assert_close(angle, angle[:1].expand_as(angle))


def test_linear_schedule_is_that_of_ddpm():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    published = (1 - betas).log().cumsum(0)
    ours = 2 * variance_preserving(1000, "linear").alpha[1:].log()
    torch.testing.assert_close(ours, published, rtol=0.11, atol=0)
    torch.testing.assert_close(ours[99:], published[99:], rtol=0.012, atol=0)


def test_respaced():
    path = variance_preserving(10)
    assert path.respaced() == list(range(10, 0, -1))
    assert path.respaced(99) == path.respaced()
    assert path.respaced(4) == [10, 7, 4, 1]
    assert path.respaced(1) == [10]


def test_errors_teach():
    with pytest.raises(ValueError, match="num_steps must be at least 2"):
        variance_preserving(1)
    with pytest.raises(ValueError, match="schedule must be"):
        variance_preserving(5, "cubic")
    with pytest.raises(ValueError, match="least_sigma"):
        variance_preserving(5, least_sigma=1.0)
    with pytest.raises(ValueError, match="noise grows"):
        Path(torch.ones(3), torch.tensor([0.0, 2.0, 1.0]))
    with pytest.raises(ValueError, match="num_steps"):
        variance_preserving(5).respaced(0)
    with pytest.raises(ValueError, match="kind must be"):
        variance_preserving(5).to_x0("y", torch.ones(1), torch.ones(1), torch.tensor([1]))
