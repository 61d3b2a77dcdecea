import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import genus
from genus.spaces import Binary, Real


def integral(truth, low, high, steps):
    """Of the density over a square, by the midpoint rule."""
    width = (high - low) / steps
    line = low + width * (torch.arange(steps, dtype=torch.float64) + 0.5)
    grid = torch.cartesian_prod(line, line)
    return truth.log_prob(grid).exp().sum().item() * width**2


@pytest.mark.parametrize(
    "toy",
    [
        genus.data.gaussians_25(spacing=0.9, standard_deviation=0.2),
        genus.data.ring(num_modes=5, radius=1.7, standard_deviation=0.15),
        genus.data.two_moons(standard_deviation=0.15),
    ],
    ids=lambda toy: toy.name,
)
def test_densities_integrate_to_one_and_fit_their_samples(toy):
    assert toy.space == Real((2,))
    assert integral(toy.truth, -3.5, 3.5, 140) == pytest.approx(1.0, abs=1e-4)
    x = toy.materialise("test").double()
    # E log p over samples against ∫ p log p over a grid; five standard errors
    line = -3.5 + 0.05 * (torch.arange(140, dtype=torch.float64) + 0.5)
    log_p = toy.truth.log_prob(torch.cartesian_prod(line, line))
    expected = (log_p.exp() * log_p.clamp_min(-200)).sum() * 0.05**2
    values = toy.truth.log_prob(x)
    assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(len(x))


def test_the_moons_density_is_the_integral_over_the_angle():
    s = 0.1
    truth = genus.data.two_moons(standard_deviation=s).truth
    points = np.array([[0.3, 0.8], [1.0, -0.5], [-1.1, 0.0], [0.5, 0.25], [2.05, 0.55]])

    def density(point):
        def at(t, label):
            c = (np.cos(t), np.sin(t)) if label == 0 else (1 - np.cos(t), 0.5 - np.sin(t))
            d = (point[0] - c[0]) ** 2 + (point[1] - c[1]) ** 2
            return np.exp(-0.5 * d / s**2) / (2 * np.pi * s**2) / (2 * np.pi)

        return sum(
            integrate.quad(at, 0, np.pi, args=(label,), epsabs=1e-13, limit=200)[0]
            for label in (0, 1)
        )

    expected = torch.tensor([math.log(density(p)) for p in points])
    assert torch.allclose(truth.log_prob(torch.tensor(points)).float(), expected, atol=2e-4)


def test_modes_labels_and_parts_of_the_mixtures():
    toy = genus.data.gaussians_25()
    assert toy.truth.modes.shape == (25, 2)
    assert toy.truth.modes.abs().max() == 4
    x, labels = toy.materialise("test"), toy.labels("test")
    away = x - toy.truth.modes[labels]
    # 10,000 squared normal deviates: χ² within five deviations
    assert (away / 0.05).square().sum().item() == pytest.approx(10_000, abs=5 * math.sqrt(20_000))
    assert stats.chisquare(labels.bincount(minlength=25).numpy()).pvalue > 1e-6
    assert not torch.equal(x[:100], toy.materialise("valid", 100))
    again = genus.data.gaussians_25()
    assert torch.equal(again.materialise("test"), x)
    assert toy.render(x) is None
    assert genus.data.ring().truth.modes.norm(dim=1).tolist() == pytest.approx([2.0] * 8)


@pytest.mark.parametrize("side", [2, 3, 4])
def test_bars_and_stripes_are_uniform_over_their_patterns(side):
    toy = genus.data.bars_and_stripes(side=side)
    space = Binary((1, side, side))
    assert toy.space == space
    points = space.points()
    log_p = toy.truth.log_prob(points)
    rows = (points == points[..., :1]).flatten(1).all(1)
    columns = (points == points[..., :1, :]).flatten(1).all(1)
    assert torch.equal(log_p > -math.inf, rows | columns)
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert len(toy.truth.modes) == 2 ** (side + 1) - 2 == len(toy.truth.modes.unique(dim=0))
    _, counts = toy.materialise("train").unique(dim=0, return_counts=True)
    assert len(counts) == len(toy.truth.modes)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-6
    assert toy.render(points).shape == (len(points), side, side)


def test_senseless_toys_are_refused():
    for make in (
        lambda: genus.data.gaussians_25(standard_deviation=0.0),
        lambda: genus.data.ring(radius=-1.0),
        lambda: genus.data.two_moons(standard_deviation=0.001),
        lambda: genus.data.bars_and_stripes(side=1),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()


def test_stacked_digits_are_those_of_mnist_and_their_labels_name_them():
    stacked = genus.data.stacked_mnist()
    assert stacked.truth.num_modes == stacked.num_classes == 1000
    digits = genus.data.load("mnist", view="pixels")
    part = stacked.parts.test
    x, labels = stacked.materialise("test", 40), stacked.labels("test")[:40]
    rows = part.store.rows[:40]
    for channel, power in enumerate((100, 10, 1)):
        expected = digits.materialise("test")[rows[:, channel]]
        assert torch.equal(x[:, channel], expected[:, 0])
        named = labels // power % 10
        assert torch.equal(named, digits.labels("test")[rows[:, channel]])
    # 26,000 labels: a mode has 26 ± 5; none is missing (once in 10⁸ sets) and none has 60
    counts = torch.bincount(stacked.labels("test"), minlength=1000)
    assert counts.min() > 0
    assert counts.max() < 60
    few = part.store.take(torch.tensor([3, 1]))
    assert torch.equal(few.read(torch.tensor([1])), part.store.read(torch.tensor([1])))
    assert not torch.equal(stacked.materialise("train", 5), stacked.materialise("valid", 5))
