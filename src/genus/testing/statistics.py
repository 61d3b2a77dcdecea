"""Tests of frequencies and means, each with its false-alarm rate stated."""

import math

import torch
from torch import Tensor

__all__ = ["FALSE_ALARM", "assert_follows", "assert_mean", "energy_distance", "g_test", "z_test"]

FALSE_ALARM = 1e-5
"""How often a correct model fails one assertion, over seeds."""


def g_test(counts: Tensor, probabilities: Tensor, *, least: float = 5.0) -> float:
    """The p-value of counts under given probabilities, by the likelihood-ratio (G) test.

    G = 2 Σ nᵢ log(nᵢ / (N pᵢ)) is χ² with (cells − 1) degrees of freedom. Cells that expect
    fewer than ``least`` counts are pooled. Counts where the probability is zero give 0.
    """
    counts, probabilities = counts.double().flatten(), probabilities.double().flatten()
    expected = counts.sum() * probabilities / probabilities.sum()
    if bool((counts[expected == 0] > 0).any()):
        return 0.0
    rare = expected < least
    seen = torch.cat([counts[~rare], counts[rare].sum().reshape(1)])
    hoped = torch.cat([expected[~rare], expected[rare].sum().reshape(1)])
    seen, hoped = seen[hoped > 0], hoped[hoped > 0]
    if len(seen) < 2:
        raise ValueError("fewer than two cells to compare; draw more samples")
    statistic = 2 * torch.special.xlogy(seen, seen / hoped).sum().clamp_min(0)
    freedom = torch.tensor((len(seen) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, statistic / 2))


def z_test(value: float, expected: float, standard_error: float) -> float:
    """The two-sided p-value of a normal estimate."""
    if standard_error == 0:
        return float(value == expected)
    return math.erfc(abs(value - expected) / standard_error / math.sqrt(2))


def assert_follows(counts: Tensor, probabilities: Tensor, what: str) -> None:
    """Fails where counts do not follow probabilities; false-alarm rate 1 in 100,000."""
    p_value = g_test(counts, probabilities)
    assert p_value > FALSE_ALARM, f"{what}: G-test gives p = {p_value:.2g}"


def assert_mean(draws: Tensor, expected: float, what: str, *, slack: float = 0.0) -> None:
    """Fails where the mean of draws is not ``expected`` ± slack; false-alarm rate 1 in 100,000."""
    mean, error = float(draws.mean()), float(draws.std() / math.sqrt(len(draws)))
    distance = max(0.0, abs(mean - expected) - slack)
    p_value = z_test(distance, 0.0, error)
    assert p_value > FALSE_ALARM, f"{what}: {mean:.4g} ± {error:.2g}, expected {expected:.4g}"


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X − Y| − E|X − X′| − E|Y − Y′|: zero only for equal distributions.

    Unbiased within each sample (pairs of a point with itself are left out). Székely & Rizzo 2013.
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    within = [torch.cdist(s, s).sum() / (len(s) * (len(s) - 1)) for s in (x, y)]
    return float(2 * torch.cdist(x, y).mean() - within[0] - within[1])
