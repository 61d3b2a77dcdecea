import math

import numpy as np
import pytest
import scipy.stats
import torch

from genus.evaluation.parzen import SIGMAS, parzen_figure, parzen_log_prob


def draws(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_one_gaussian_has_its_formula() -> None:
    centre, x, sigma = draws(1, 784, 0), draws(20, 784, 1), 0.3
    squares = (x.double() - centre.double()).square().sum(1)
    expected = -squares / (2 * sigma**2) - 784 * math.log(sigma * math.sqrt(2 * math.pi))
    torch.testing.assert_close(parzen_log_prob(x, centre, sigma), expected)


@pytest.mark.parametrize("block", [1, 3, 100])
def test_a_mixture_equals_scipy_term_by_term(block: int) -> None:
    centres, x = draws(7, 3, 2) + 100, draws(5, 3, 3) + 100
    densities = [
        scipy.stats.multivariate_normal(c.double().numpy(), 0.04).pdf(x.double().numpy())
        for c in centres
    ]
    expected = np.log(np.mean(densities, 0))
    found = parzen_log_prob(x, centres, 0.2, block=block)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_far_data_do_not_underflow() -> None:
    found = parzen_log_prob(torch.full((1, 784), 5.0), torch.zeros(3, 784), 0.1)
    expected = -784 * 25 / 0.02 - 784 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert float(found) == pytest.approx(expected)


def test_the_width_is_the_best_for_validation_data() -> None:
    samples, valid, test = (0.1 * draws(n, 2, n) for n in (300, 200, 250))
    found = parzen_figure(samples, test, valid)
    scores = [float(parzen_log_prob(valid, samples, sigma).mean()) for sigma in SIGMAS]
    assert found.sigma == SIGMAS[scores.index(max(scores))]
    values = parzen_log_prob(test, samples, found.sigma)
    figure = found.log_likelihood
    assert figure.value == pytest.approx(float(values.mean()))
    assert figure.standard_error == pytest.approx(float(values.std()) / 250**0.5)
    assert figure.interval is not None
    assert figure.interval[0] < figure.value < figure.interval[1]
    assert "not Goodfellow's protocol" in figure.note
    assert "end of its range" in figure.note


def test_the_ten_widths_are_those_of_the_protocol() -> None:
    np.testing.assert_allclose(SIGMAS, np.logspace(-1, 0, 10))


def test_constant_samples_have_a_figure() -> None:
    figure = parzen_figure(torch.zeros(50, 4), torch.zeros(20, 4), torch.zeros(20, 4))
    assert figure.log_likelihood.value == pytest.approx(-4 * math.log(0.1 * (2 * math.pi) ** 0.5))


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must have at least 1 rows"):
        parzen_log_prob(draws(3, 2, 0), draws(0, 2, 1), 0.1)
    with pytest.raises(ValueError, match="x and samples"):
        parzen_log_prob(draws(3, 2, 0), draws(3, 4, 1), 0.1)
    with pytest.raises(ValueError, match="sigma must be positive"):
        parzen_log_prob(draws(3, 2, 0), draws(3, 2, 1), 0.0)


@pytest.mark.slow
def test_real_training_images_in_the_protocol() -> None:
    """10,000 training images of MNIST score 242 nats, less than many a blurred model."""
    from genus import data

    mnist = data.load("mnist", view="pixels")
    train, valid, test = (
        mnist.materialise(split).flatten(1).double() / 255  # type: ignore[arg-type]
        for split in ("train", "valid", "test")
    )
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:10_000]
    found = parzen_figure(train[rows], test, valid)
    assert len(test) == 10_000
    assert found.log_likelihood.value == pytest.approx(242, abs=3)
