import itertools
import math

import pytest
import torch

from genus.inference.annealing import (
    annealed_importance,
    forward_ratio,
    inverse_temperatures,
    log_mean,
    reverse_annealed_importance,
    reverse_ratio,
)


class Gaussians:
    """f_β(x) = exp(−½ τ_β (x − β m)²), moved by independent exact draws; Z_β = √(2π/τ_β)."""

    def __init__(self, wide=1.5, narrow=0.8, mean=0.7):
        self.wide, self.narrow, self.mean = wide, narrow, mean

    def precision(self, beta):
        return (1 - beta) / self.wide**2 + beta / self.narrow**2

    def draw(self, n, beta):
        noise = torch.randn(n, dtype=torch.float64)
        return beta * self.mean + noise / math.sqrt(self.precision(beta))

    def start(self, num_chains):
        return self.draw(num_chains, 0.0)

    def log_density(self, x, beta):
        return -0.5 * self.precision(beta) * (x - beta * self.mean) ** 2

    def log_ratio(self, x, low, high):
        return self.log_density(x, high) - self.log_density(x, low)

    def move(self, x, beta):
        return self.draw(len(x), beta)


LOG_RATIO = math.log(0.8 / 1.5)
BETAS = [0.0, 0.1, 0.2, 0.35, 0.5, 1.0]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_forward_weights_average_to_the_ratio_of_constants():
    estimate = log_mean(annealed_importance(Gaussians(), 200_000, BETAS))
    # false alarm at 5 standard errors: 6e-7
    assert abs(estimate.value - LOG_RATIO) < 5 * estimate.standard_error
    assert estimate.standard_error < 0.02


def test_reverse_weights_average_to_the_inverse_ratio():
    path = Gaussians()
    log_weights = reverse_annealed_importance(path, path.draw(200_000, 1.0), BETAS)
    estimate = log_mean(-log_weights)
    assert abs(estimate.value + LOG_RATIO) < 5 * estimate.standard_error
    assert estimate.standard_error < 0.02


def test_both_directions_bracket_the_truth_on_average():
    path = Gaussians()
    forward = annealed_importance(path, 4000, BETAS)
    reverse = reverse_annealed_importance(path, path.draw(4000, 1.0), BETAS)
    # the gaps are dozens of standard errors wide
    assert forward.mean() < LOG_RATIO - 5 * forward.std() / 4000**0.5
    assert reverse.mean() > LOG_RATIO + 5 * reverse.std() / 4000**0.5


def test_means_of_log_weights_bracket_where_the_estimates_are_near():
    path = Gaussians()
    forward = forward_ratio(annealed_importance(path, 4000, BETAS))
    start = path.draw(4000, 1.0)
    reverse = reverse_ratio(reverse_annealed_importance(path, start, BETAS))
    # the gaps are dozens of standard errors wide
    assert forward.bound + 5 * forward.bound_error < LOG_RATIO
    assert reverse.bound - 5 * reverse.bound_error > LOG_RATIO
    for found in (forward, reverse):
        # false alarm at 5 standard errors: 6e-7
        assert abs(found.value - LOG_RATIO) < 5 * found.standard_error
        assert 0 < found.bound_error < 0.02
    alone = forward_ratio(torch.tensor([1.5]))
    assert (alone.value, alone.bound) == (1.5, 1.5)
    assert (alone.standard_error, alone.bound_error) == (math.inf, math.inf)


@pytest.mark.parametrize("num", [3, 10, 1000, 14_500])
def test_inverse_temperatures_rise_from_zero_to_one(num):
    betas = inverse_temperatures(num)
    assert len(betas) == num + 1
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert all(low < high for low, high in itertools.pairwise(betas))


def test_inverse_temperatures_are_dense_near_one():
    betas = inverse_temperatures(1000)
    assert betas[500] == pytest.approx(0.75)
    steps = [high - low for low, high in itertools.pairwise(betas)]
    assert all(later < earlier for earlier, later in itertools.pairwise(steps))
    with pytest.raises(ValueError, match="num_temperatures must be at least 3"):
        inverse_temperatures(2)


def test_log_mean_and_its_error_at_any_scale():
    weights = torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=torch.float64)
    for shift in (0.0, 5000.0, -5000.0):
        estimate = log_mean(weights.log() + shift)
        assert estimate.value.item() == pytest.approx(math.log(4.0) + shift, abs=1e-9)
        assert estimate.standard_error.item() == pytest.approx(weights.std().item() / 4 / 2)
    assert log_mean(weights[:1].log()).standard_error == math.inf


def test_the_standard_error_is_that_of_repeated_runs():
    estimates = [log_mean(annealed_importance(Gaussians(), 2000, BETAS)) for _ in range(300)]
    spread = torch.stack([e.value for e in estimates]).std()
    claimed = torch.stack([e.standard_error for e in estimates]).mean()
    # the spread of 300 runs is known to 4 %; 30 % is beyond 6 sigma
    assert abs(spread / claimed - 1) < 0.3
