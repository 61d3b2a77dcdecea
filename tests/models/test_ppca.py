"""PPCA against scikit-learn, dense Gaussians, and its own two ways to learn."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from genus import Real
from genus.engine.callbacks import History
from genus.models import PPCA
from genus.testing import stiffen
from genus.testing.statistics import assert_mean

SIZE, LATENT = 7, 3


def data(n=200, size=SIZE, offset=0.0, seed=3):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    mix = mix * torch.linspace(0.2, 3.0, size, dtype=torch.float64)
    return torch.randn(n, size, generator=generator, dtype=torch.float64) @ mix + offset


def stiff():
    return stiffen(PPCA(Real((SIZE,)), LATENT).double(), 2.5)


def covariance(model):
    noise = model.variance * torch.eye(len(model.mean)).double()
    return (model.loadings @ model.loadings.T + noise).detach()


def test_log_prob_is_a_dense_gaussian():
    model, x = stiff(), data(20)
    dense = multivariate_normal(model.mean.detach().numpy(), covariance(model).numpy())
    found = model.log_prob(x).detach().numpy()
    np.testing.assert_allclose(found, dense.logpdf(x.numpy()), rtol=0, atol=1e-6)


def test_log_prob_equals_scikit_learns_score():
    x = data()
    oracle = PCA(LATENT).fit(x.numpy())
    model = PPCA(Real((SIZE,)), LATENT).double()
    noise = oracle.noise_variance_
    with torch.no_grad():
        scale = np.sqrt(oracle.explained_variance_ - noise)
        model.loadings.copy_(torch.tensor(oracle.components_.T * scale))
        model.mean.copy_(torch.tensor(oracle.mean_))
        model.log_variance.fill_(math.log(noise))
    fresh = data(50, seed=4)
    found = model.log_prob(fresh).detach().numpy()
    np.testing.assert_allclose(found, oracle.score_samples(fresh.numpy()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_closed_form_equals_scikit_learns_up_to_n_over_n_minus_one(offset):
    x = data(60, offset=offset)
    oracle = PCA(LATENT).fit(x.numpy())
    model = PPCA(Real((SIZE,)), LATENT).double().fit(x, device="cpu")
    bessel = len(x) / (len(x) - 1)
    noise = float(model.variance.detach())
    assert noise * bessel == pytest.approx(oracle.noise_variance_, rel=1e-6)
    found = (model.loadings**2).sum(0).detach().numpy() + noise
    np.testing.assert_allclose(found * bessel, oracle.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(model.mean.detach().numpy(), oracle.mean_, rtol=1e-12)
    directions = (model.loadings / model.loadings.norm(dim=0)).detach().numpy()
    np.testing.assert_allclose(np.abs(directions.T @ oracle.components_.T), np.eye(3), atol=1e-6)


def test_closed_form_in_float32_at_an_offset():
    """Data around 10,000 lose nothing but what float32 cannot hold."""
    x = data(400, offset=1e4)
    best = PPCA(Real((SIZE,)), LATENT).double().fit(x, device="cpu").log_prob(x).mean()
    model = PPCA(Real((SIZE,)), LATENT).fit(x.float(), device="cpu")
    assert float(model.log_prob(x.float()).mean()) == pytest.approx(float(best), abs=0.02)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_em_reaches_the_closed_form_and_never_falls(offset):
    x = data(offset=offset)
    history = History(every=1 << 30)
    em = PPCA(Real((SIZE,)), LATENT, method="em").double()
    algorithm = em.algorithm()
    algorithm.tolerance = 1e-12
    algorithm.epochs = 3000
    em.fit(x, algorithm=algorithm, epochs=3000, callbacks=[history], device="cpu")
    values = [row["log_likelihood"] for row in history.rows]
    assert len(values) > 10
    assert min(b - a for a, b in pairwise(values)) > -1e-9
    closed = PPCA(Real((SIZE,)), LATENT).double().fit(x, device="cpu")
    best = float(closed.log_prob(x).mean())
    assert float(em.log_prob(x).mean()) == pytest.approx(best, abs=1e-5)
    assert float(em.log_prob(x).mean()) <= best + 1e-9
    assert torch.allclose(covariance(em), covariance(closed), rtol=0.01, atol=0.02)


def test_one_round_of_em_equals_the_textbooks():
    """Bishop (12.54) to (12.57) with the mean known, written out datum by datum."""
    model, x = stiff(), data(30)
    with torch.no_grad():
        model.mean.copy_(x.mean(0))
    W, s2 = model.loadings.detach().clone(), float(model.variance.detach())
    M = torch.linalg.inv(W.T @ W + s2 * torch.eye(LATENT).double())
    # the mean is solved for together with W: z̃ = (z, 1)
    first, second, square = 0.0, 0.0, 0.0
    for row in x - model.mean.detach():
        z = torch.cat([M @ W.T @ row, torch.ones(1).double()])
        spread = torch.zeros(LATENT + 1, LATENT + 1).double()
        spread[:-1, :-1] = s2 * M
        first = first + torch.outer(row, z)
        second = second + torch.outer(z, z) + spread
        square = square + row @ row
    new = first @ torch.linalg.inv(second)
    variance = (square - (new * first).sum()) / x.numel()
    mean = model.mean.detach() + new[:, -1]
    algorithm = PPCA(Real((SIZE,)), LATENT, method="em").algorithm()
    model.fit(x, algorithm=algorithm, epochs=1, device="cpu")
    assert torch.allclose(model.loadings, new[:, :-1], atol=1e-8)
    assert torch.allclose(model.mean, mean, atol=1e-8)
    assert float(model.variance.detach()) == pytest.approx(float(variance), rel=1e-8)


def test_posterior_is_the_conditional_of_the_joint_gaussian():
    model, x = stiff(), data(5)
    W, C = model.loadings.detach(), covariance(model)
    gain = W.T @ torch.linalg.inv(C)
    mean, spread = model.posterior(x)
    assert torch.allclose(mean, (gain @ (x - model.mean).T).T, atol=1e-8)
    assert torch.allclose(spread, torch.eye(LATENT).double() - gain @ W, atol=1e-8)
    assert torch.allclose(model.decode(mean), mean @ W.T + model.mean, atol=1e-10)
    assert torch.equal(model.encode(x), mean)


def test_completion_follows_the_dense_conditional():
    """Means and covariances of 40,000 draws; 5 σ, false-alarm rate about 1 in 100,000 each."""
    model, n = stiff(), 40000
    x = data(1).expand(n, SIZE)
    observed = torch.tensor([True, False, True, False, False, True, False])
    drawn = model.complete(x, observed, seed=2)[:, ~observed]
    C, mean = covariance(model), model.mean.detach()
    gain = C[~observed][:, observed] @ torch.linalg.inv(C[observed][:, observed])
    expected = mean[~observed] + gain @ (x[0, observed] - mean[observed])
    spread = C[~observed][:, ~observed] - gain @ C[observed][:, ~observed]
    for d in range(4):
        assert_mean(drawn[:, d], float(expected[d]), f"mean of entry {d}")
        for e in range(d + 1):
            products = (drawn[:, d] - expected[d]) * (drawn[:, e] - expected[e])
            assert_mean(products, float(spread[d, e]), f"covariance of entries {d} and {e}")


def test_completion_has_a_mask_for_every_row():
    model, x = stiff(), data(600)
    observed = torch.rand(600, SIZE) < 0.5
    filled = model.complete(x, observed, seed=3)
    assert torch.equal(filled[observed], x[observed])
    # scaled residuals of rows with one missing entry are standard normal
    single = torch.ones(600, SIZE).bool()
    single[torch.arange(600), torch.arange(600) % SIZE] = False
    filled, C = model.complete(x, single, seed=4), covariance(model)
    precision = torch.linalg.inv(C)
    scores = []
    for i in range(600):
        d = i % SIZE
        others = single[i]
        mean = (
            model.mean[d] - (precision[d, others] @ (x[i] - model.mean)[others]) / precision[d, d]
        )
        scores.append((filled[i, d] - mean) * precision[d, d].sqrt())
    scores = torch.stack(scores).detach()
    assert_mean(scores, 0.0, "residuals")
    assert_mean(scores**2, 1.0, "squared residuals")


def test_samples_have_the_models_moments():
    model, n = stiff(), 40000
    drawn, C = model.sample(n, seed=5), covariance(model)
    centred = drawn - model.mean.detach()
    for d in range(SIZE):
        assert_mean(centred[:, d], 0.0, f"mean of entry {d}")
        for e in range(d + 1):
            assert_mean(centred[:, d] * centred[:, e], float(C[d, e]), f"covariance {d}, {e}")


def test_fewer_rows_than_columns():
    x = data(12, size=20)
    model = PPCA(Real((20,)), 4).double().fit(x, device="cpu")
    values = model.log_prob(x)
    assert bool(torch.isfinite(values).all())
    dense = multivariate_normal(model.mean.detach().numpy(), covariance(model).numpy())
    np.testing.assert_allclose(values.detach().numpy(), dense.logpdf(x.numpy()), atol=1e-6)
    em = PPCA(Real((20,)), 4, method="em").double().fit(x, epochs=500, device="cpu")
    assert float(em.log_prob(x).mean()) == pytest.approx(float(values.mean()), abs=0.05)
    with pytest.raises(ValueError, match="fewer components or more examples"):
        PPCA(Real((20,)), 15).double().fit(x, device="cpu")


@pytest.mark.parametrize("components", [0, 7, 8, -1])
def test_too_many_components(components):
    with pytest.raises(ValueError, match="num_components must be 1 to 6"):
        PPCA(Real((SIZE,)), components)


def test_unknown_method():
    with pytest.raises(ValueError, match="closed form"):
        PPCA(Real((SIZE,)), 2, method="gibbs")


def test_images_are_flattened_and_come_back():
    x = data(100, size=12).reshape(100, 2, 3, 2)
    model = PPCA(Real((2, 3, 2)), 3).double().fit(x, device="cpu")
    flat = PPCA(Real((12,)), 3).double().fit(x.flatten(1), device="cpu")
    assert torch.allclose(model.log_prob(x), flat.log_prob(x.flatten(1)))
    assert model.sample(4).shape == model.reconstruct(x[:4]).shape == (4, 2, 3, 2)
    assert torch.allclose(model.reconstruct(x).flatten(1), flat.reconstruct(x.flatten(1)))


def test_the_gradient_is_nought_at_the_closed_form():
    x = data()
    model = PPCA(Real((SIZE,)), LATENT).double().fit(x, device="cpu")
    model.log_prob(x).mean().backward()
    for name, parameter in model.named_parameters():
        assert float(parameter.grad.abs().max()) < 1e-8, name
