"""The bound of diffusion: closed forms of Gaussians, all points of a small space."""

import pytest
import torch
from scipy import stats

from genus import spaces
from genus.inference.path import Path, variance_preserving
from genus.inference.solver import ancestral
from genus.models.diffusion.bound import (
    Chain,
    step_divergence,
    step_law,
    trajectory_bound,
    variational_bound,
)
from genus.models.diffusion.last_step import LastStep

MEAN = torch.tensor([0.4, -1.1], dtype=torch.float64)
FACTOR = torch.tensor([[0.9, 0.0], [0.6, 0.3]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T


def gaussian_chain(num_steps, spread="exact", least_sigma=0.05):
    """The exact denoiser of N(MEAN, COVARIANCE)."""
    path = variance_preserving(num_steps, "log-linear", least_sigma=least_sigma)
    eye = torch.eye(2, dtype=torch.float64)

    def gain(t):
        total = path.alpha[t, None, None] ** 2 * COVARIANCE + path.sigma[t, None, None] ** 2 * eye
        return path.alpha[t, None, None] * COVARIANCE @ torch.linalg.inv(total)

    def denoise(x_t, t):
        centred = x_t - path.alpha[t, None] * MEAN
        return MEAN + (gain(t) @ centred.unsqueeze(2)).squeeze(2)

    times = torch.arange(num_steps + 1)
    left = COVARIANCE - path.alpha[:, None, None] * gain(times) @ COVARIANCE
    error = left.diagonal(dim1=1, dim2=2).mean(1)
    table = error if spread == "exact" else torch.zeros_like(error)
    return Chain(path, denoise, table, LastStep(spaces.Real((2,)), float(error[1].sqrt())))


def log_density(x):
    return torch.distributions.MultivariateNormal(MEAN, COVARIANCE).log_prob(x)


def test_bound_tends_to_the_density_of_a_gaussian():
    # 3,000 draws of each bound: 4.5 standard errors, a false alarm in 150,000 runs
    torch.manual_seed(0)
    x = MEAN + torch.randn(3000, 2, dtype=torch.float64) @ FACTOR.T
    gaps = []
    for num_steps in (8, 32, 128):
        bound = variational_bound(gaussian_chain(num_steps), x, num_steps - 1)
        gap = log_density(x) - bound
        assert float(gap.mean()) > -4.5 * float(gap.std()) / 3000**0.5
        gaps.append(float(gap.mean()))
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]
    assert gaps[2] < 0.15


def test_spread_tightens_the_bound():
    x = MEAN + torch.randn(2000, 2, dtype=torch.float64) @ FACTOR.T
    bounds = [variational_bound(gaussian_chain(8, kind), x, 7).mean() for kind in ("exact", "none")]
    assert float(bounds[0] - bounds[1]) > 0.2


def test_step_divergence_is_the_divergence_of_two_gaussians():
    chain = gaussian_chain(6)
    x, t = torch.randn(1, 2, dtype=torch.float64), torch.tensor([4])
    torch.manual_seed(3)
    found = step_divergence(chain, x, t)
    torch.manual_seed(3)
    x_t = chain.path.noised(x, t, torch.randn_like(x))
    a, b, v = chain.path.posterior(t, t - 1)
    q = torch.distributions.Normal(a * x_t + b * x, v.sqrt())
    mean, variance = chain.path.reverse(x_t, chain.denoise(x_t, t), t, t - 1, chain.spread[t])
    p = torch.distributions.Normal(mean, variance.sqrt())
    torch.testing.assert_close(found, torch.distributions.kl_divergence(q, p).sum(1))


def test_a_path_that_ends_too_early_costs_its_divergence():
    # q(x_T | x₀) is far from the prior: one trajectory and the closed form agree, 4.5 errors
    torch.manual_seed(3)
    whole, n = gaussian_chain(5), 4000
    chain = whole._replace(path=Path(whole.path.alpha[:3], whole.path.sigma[:3]))
    x = torch.tensor([[0.6, -0.8]], dtype=torch.float64).expand(n, 2)
    one, analytic = trajectory_bound(chain, x, 1), variational_bound(chain, x, 1)
    error = ((one.var() + analytic.var()) / n).sqrt()
    assert float(chain.path.prior_divergence(x)[0]) > 9 * float(error)
    assert abs(float((one.mean() - analytic.mean()) / error)) < 4.5


@pytest.mark.parametrize("num_times", [1, 3, 10])
def test_drawn_times_leave_the_mean_of_the_bound(num_times):
    # |z| > 4.5 has probability 7e-6
    torch.manual_seed(1)
    chain, n = gaussian_chain(12), 10000
    x = torch.tensor([[1.3, 0.2]], dtype=torch.float64).expand(n, 2)
    every, some = variational_bound(chain, x, 11), variational_bound(chain, x, num_times)
    error = ((every.var() + some.var()) / n).sqrt()
    assert abs(float((every.mean() - some.mean()) / error)) < 4.5
    assert num_times > 3 or float(some.var()) > 1.5 * float(every.var())


def test_trajectories_close_the_bound_of_a_gaussian():
    # one trajectory has the mean of the variational bound; many reach log p: 4.5 standard errors
    torch.manual_seed(2)
    chain, n = gaussian_chain(4), 3000
    x = torch.tensor([[-0.3, -0.9]], dtype=torch.float64).expand(n, 2)
    one, analytic = trajectory_bound(chain, x, 1), variational_bound(chain, x, 3)
    error = ((one.var() + analytic.var()) / n).sqrt()
    assert abs(float((one.mean() - analytic.mean()) / error)) < 4.5
    truth = float(_chain_log_density(chain, x[:1]))
    few, many = trajectory_bound(chain, x, 4), trajectory_bound(chain, x[:200], 200)
    assert float(one.mean()) < float(few.mean()) < truth + 4.5 * float(few.std()) / n**0.5
    assert float(many.mean()) == pytest.approx(truth, abs=0.01)


def _chain_log_density(chain, x):
    """Log p(x) of the reverse chain itself, all of whose steps are affine and Gaussian."""
    mean, covariance = torch.zeros(2).double(), torch.eye(2).double()
    eye, zero = torch.eye(2).double(), torch.zeros(1, 2).double()
    for step in range(chain.path.num_steps, 0, -1):
        t = torch.tensor([step])
        offset = chain.denoise(zero, t)
        gain = (chain.denoise(eye, t.expand(2)) - offset).T
        a, b, v = chain.path.posterior(t, t - 1)
        variance = v + b**2 * chain.spread[step] if step > 1 else chain.last_step.deviation**2
        mean, matrix = (a * eye + b * gain) @ mean + b * offset[0], a * eye + b * gain
        covariance = matrix @ covariance @ matrix.T + variance * eye
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def binary_chain(num_steps):
    """The exact denoiser of uneven probabilities of the points of Binary((2,))."""
    space = spaces.Binary((2,))
    y = space.to_real(space.points()).double()
    prior = torch.tensor([0.55, 0.05, 0.1, 0.3], dtype=torch.float64).log()
    path = variance_preserving(num_steps, "cosine", least_sigma=0.4)

    def denoise(x_t, t):
        distance = ((x_t[:, None] - path.alpha[t, None, None] * y) ** 2).sum(2)
        return (prior - 0.5 * distance / path.sigma[t, None] ** 2).softmax(1) @ y

    return Chain(path, denoise, path.sigma**2, LastStep(space, 0.5)), y


@pytest.mark.parametrize("num_steps", [2, 4])
def test_bounds_against_all_binary_points(num_steps):
    # p(x) by 100,000 draws of x₁ from the chain: relative error below 1 %
    torch.manual_seed(0)
    chain, y = binary_chain(num_steps)
    noise = torch.randn(100_000, 2, dtype=torch.float64)
    times = chain.path.respaced()
    last = ancestral(chain.path, chain.denoise, noise, times, spread=chain.spread).x0
    shares = [chain.last_step.log_prob(row[None], last).exp().mean() for row in y]
    log_p = torch.stack(shares).log()
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(log_p.max() - log_p.min()) > 0.6
    many = y.repeat_interleave(400, 0)
    bounds = [variational_bound(chain, many, num_steps - 1)]
    bounds += [trajectory_bound(chain, many, k) for k in (1, 8)]
    bounds += [trajectory_bound(chain, y.repeat_interleave(100, 0), 150)]
    rows = [bound.reshape(4, -1) for bound in bounds]
    means = [row.mean(1) for row in rows]
    for row, mean in zip(rows, means, strict=True):
        error = row.std(1) / row.shape[1] ** 0.5
        assert bool((mean < log_p + 0.02 + 4.5 * error).all())
    gaps = [float((log_p - mean).mean()) for mean in means]
    assert gaps[0] == pytest.approx(gaps[1], abs=0.2)
    assert gaps[1] > 2 * gaps[2] > 4 * gaps[3]
    torch.testing.assert_close(means[3], log_p, atol=0.15, rtol=0)


@pytest.mark.parametrize("levels", [2, 3, 256])
@pytest.mark.parametrize("deviation", [0.003, 0.4, 30.0])
def test_last_step_sums_to_one(levels, deviation):
    space = spaces.Pixels((1,), levels)
    y = space.to_real(space.points()).double()
    for mean in (-1.4, -0.99, 0.003, 0.8):
        step = LastStep(space, deviation)
        log_p = step.log_prob(y, torch.full_like(y, mean))
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-7)
        edges = (y[1:, 0] + y[:-1, 0]) / 2
        masses = torch.tensor(stats.norm.cdf(edges, mean, deviation)).diff(
            prepend=torch.zeros(1), append=torch.ones(1)
        )
        torch.testing.assert_close(log_p.exp(), masses, atol=1e-7, rtol=0)


def test_last_step_far_away_is_finite_and_has_gradients():
    space = spaces.Pixels((1,), 256)
    mean = torch.linspace(-1, 1, 256).unsqueeze(1).requires_grad_()
    log_p = LastStep(space, 0.0008).log_prob(torch.linspace(1, -1, 256).unsqueeze(1), mean)
    (gradient,) = torch.autograd.grad(log_p.sum(), mean)
    assert bool(torch.isfinite(log_p).all())
    assert bool(torch.isfinite(gradient).all())
    assert float(log_p.detach().min()) < -1e6


def test_every_step_is_visited_or_drawn_by_its_law():
    # 12,000 draws in 8 cells: above 29.9 with probability 1e-4 for independent draws, and less
    # for evenly spread ones
    seen = []
    chain = gaussian_chain(9)
    spy = Chain(
        chain.path,
        lambda x, t: seen.append(t.clone()) or chain.denoise(x, t),
        chain.spread,
        chain.last_step,
    )
    variational_bound(spy, torch.zeros(1, 2, dtype=torch.float64), 8)
    assert [int(t) for t in seen] == list(range(1, 10))
    seen.clear()
    torch.manual_seed(0)
    variational_bound(spy, torch.zeros(4000, 2, dtype=torch.float64), 3)
    assert bool((seen[0] == 1).all())
    counts = torch.bincount(torch.cat(seen[1:]) - 2, minlength=8).double()
    expected = 12_000 * step_law(chain)
    assert float(2 * (counts * (counts / expected).log()).sum()) < 29.9


def test_law_of_steps_is_their_expected_cost():
    chain = gaussian_chain(9)
    law = step_law(chain)
    assert float(law.sum()) == pytest.approx(1.0)
    torch.manual_seed(0)
    x = MEAN + torch.randn(20_000, 2, dtype=torch.float64) @ FACTOR.T
    times = range(2, 10)
    costs = [step_divergence(chain, x, torch.full((len(x),), t)).mean() for t in times]
    shares = torch.stack(costs) / sum(costs)
    torch.testing.assert_close(0.9 * shares + 0.1 / 8, law, atol=0.01, rtol=0)
