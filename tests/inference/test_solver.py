"""The way back, with the exact denoiser of a Gaussian whose moments are known at every step."""

import itertools
import math

import pytest
import torch

from genus.inference import solver
from genus.inference.path import Path, variance_preserving
from genus.inference.solver import ancestral, ddim, repaint

MEAN = torch.tensor([0.9, -2.0, 0.3], dtype=torch.float64)
FACTOR = torch.tensor([[1.1, 0, 0], [0.7, 0.2, 0], [-0.4, 0.5, 0.1]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T


def denoiser(path: Path, mean=MEAN, covariance=COVARIANCE):
    """E[x₀ | xₜ] = m + αₜ C (αₜ² C + σₜ² I)⁻¹ (xₜ − αₜ m)."""

    def denoise(x_t, t):
        alpha, sigma = path.alpha[t[0]], path.sigma[t[0]]
        total = alpha**2 * covariance + sigma**2 * torch.eye(len(mean)).double()
        gain = alpha * covariance @ torch.linalg.inv(total)
        return mean + (x_t - alpha * mean) @ gain.T

    return denoise


def moments(run, num_draws, monkeypatch):
    """Exact mean and covariance of an affine function of independent normal draws.

    Row 0 gets no noise, every other row a unit in one place of one draw.
    """
    size, calls = len(MEAN), iter(range(num_draws))

    def unit(like):
        noise = torch.zeros_like(like)
        start = 1 + next(calls) * size
        noise[start : start + size] = torch.eye(size).double()
        return noise

    rows = torch.zeros(1 + num_draws * size, size, dtype=torch.float64)
    monkeypatch.setattr(solver.torch, "randn_like", unit)
    result = run(unit(rows)).x0
    assert next(calls, None) is None
    columns = result[1:] - result[0]
    return result[0], columns.T @ columns


@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize("num_times", [4, 12])
def test_ancestral_follows_the_published_recursion(monkeypatch, error, num_times):
    path = variance_preserving(12, "cosine", least_sigma=0.05)
    denoise, times = denoiser(path), path.respaced(num_times)
    spread = torch.full((13,), error, dtype=torch.float64)
    found = moments(
        lambda x: ancestral(path, denoise, x, times, spread=spread), len(times), monkeypatch
    )

    mean, covariance = torch.zeros(3).double(), torch.eye(3).double()
    for number, t in enumerate(times):
        total = path.alpha[t] ** 2  # ᾱ of the paper
        gain = denoise(torch.eye(3).double(), [t]) - denoise(torch.zeros(1, 3).double(), [t])
        offset = denoise(torch.zeros(1, 3).double(), [t])[0]
        if number + 1 == len(times):
            step, shift, variance = gain.T, offset, 0.0
        else:
            before = path.alpha[times[number + 1]] ** 2
            beta = 1 - total / before
            on_x0 = before.sqrt() * beta / (1 - total)
            on_x_t = (1 - beta).sqrt() * (1 - before) / (1 - total)
            step = on_x_t * torch.eye(3).double() + on_x0 * gain.T
            shift = on_x0 * offset
            variance = beta * (1 - before) / (1 - total) + on_x0**2 * error
        mean = step @ mean + shift
        covariance = step @ covariance @ step.T + variance * torch.eye(3).double()
    torch.testing.assert_close(found[0], mean)
    torch.testing.assert_close(found[1], covariance)


def test_ancestral_reaches_the_data(monkeypatch):
    # the chain is of first order in 1 / T: twice the steps, half the error
    errors = []
    for num_steps in (200, 400):
        path = variance_preserving(num_steps, "log-linear", least_sigma=0.005)
        mean, covariance = moments(
            lambda x, path=path: ancestral(path, denoiser(path), x, path.respaced()),
            num_steps,
            monkeypatch,
        )
        torch.testing.assert_close(mean, MEAN, atol=0.01, rtol=0)
        errors.append(float((covariance - COVARIANCE).abs().max()))
    assert errors[1] < 0.04
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


def test_ddim_is_its_linear_map():
    path = variance_preserving(30, "cosine", least_sigma=0.05)
    values, vectors = torch.linalg.eigh(COVARIANCE)
    x = torch.randn(5, 3, dtype=torch.float64)
    times = path.respaced(7)
    found = ddim(path, denoiser(path), x, times)
    along = (x - path.alpha[-1] * MEAN) @ vectors
    for t, s in itertools.pairwise(times):
        total = path.alpha[t] ** 2 * values + path.sigma[t] ** 2
        signal = path.alpha[t] * path.alpha[s] * values
        along = along * (signal + path.sigma[t] * path.sigma[s]) / total
    last = times[-1]
    along = (
        along * path.alpha[last] * values / (path.alpha[last] ** 2 * values + path.sigma[last] ** 2)
    )
    torch.testing.assert_close(found.x0, MEAN + along @ vectors.T)
    assert found.num_evaluations == 7


def test_ddim_tends_to_the_flow_of_the_gaussian():
    path = variance_preserving(800, "cosine", least_sigma=0.002)
    values, vectors = torch.linalg.eigh(COVARIANCE)
    x = torch.randn(5, 3, dtype=torch.float64)
    total = path.alpha[-1] ** 2 * values + path.sigma[-1] ** 2
    along = (x - path.alpha[-1] * MEAN) @ vectors * (values / total).sqrt()
    found = ddim(path, denoiser(path), x, path.respaced()).x0
    torch.testing.assert_close(found, MEAN + along @ vectors.T, atol=0.02, rtol=0)


def test_ddim_with_all_its_noise_is_ancestral():
    path = variance_preserving(20, "cosine", least_sigma=0.05)
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.manual_seed(5)
    noisy = ddim(path, denoiser(path), x, path.respaced(6), eta=1.0)
    torch.manual_seed(5)
    torch.testing.assert_close(noisy, ancestral(path, denoiser(path), x, path.respaced(6)))
    assert not torch.allclose(noisy.x0, ddim(path, denoiser(path), x, path.respaced(6)).x0)


def test_repaint_completes_a_correlated_pair():
    # conditional law of the second entry given the first; 3000 draws: the standard error of the
    # mean is 0.008, the tolerance is the method's own (it is approximate), 0.08
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    mean = torch.tensor([0.2, -0.4], dtype=torch.float64)
    path = variance_preserving(60, "cosine", least_sigma=0.02)
    known = torch.tensor([[1.7, 99.0]], dtype=torch.float64).expand(3000, 2)
    observed = torch.tensor([[True, False]]).expand(3000, 2)
    torch.manual_seed(0)
    found = repaint(
        path,
        denoiser(path, mean, covariance),
        torch.randn(3000, 2, dtype=torch.float64),
        path.respaced(),
        known=known,
        observed=observed,
        jump=5,
        resamplings=8,
    )
    assert bool((found.x0[:, 0] == 1.7).all())
    assert float(found.x0[:, 1].mean()) == pytest.approx(-0.4 + 0.8 * 1.5, abs=0.08)
    assert float(found.x0[:, 1].std()) == pytest.approx(0.6, abs=0.08)


def test_repaint_visits():
    assert list(solver._visits(5, 2, 3)) == [1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 5]
    assert list(solver._visits(3, 9, 4)) == [1, 2, 3]
    path = variance_preserving(6, least_sigma=0.1)
    counted = []

    def denoise(x_t, t):
        counted.append(int(t[0]))
        return 0 * x_t

    mask = torch.ones(1, 2, dtype=torch.bool)
    found = repaint(
        path,
        denoise,
        torch.randn(1, 2),
        path.respaced(),
        known=torch.ones(1, 2),
        observed=mask,
        jump=2,
        resamplings=3,
    )
    assert found.num_evaluations == len(counted) == 1 + 5 + 2 * 2 * 2
    assert counted == [6, 5, 6, 5, 6, 5, 4, 3, 4, 3, 4, 3, 2, 1]
    assert math.isclose(float(found.x0.sum()), 2.0)
