"""The denoising objective, against the variational bound and its own closed forms."""

import math

import pytest
import torch

from genus.engine import Batch
from genus.inference.path import variance_preserving
from genus.objectives import denoising
from genus.objectives.denoising import Denoising, draw_times


class Shrinks:
    """A denoiser that multiplies by a number, whatever it predicts."""

    learns_spread = False

    def __init__(self, prediction, num_steps=5):
        self.prediction = prediction
        self.path = variance_preserving(num_steps, least_sigma=0.2)

    def to_path(self, x):
        return x

    def predict(self, x_t, t, condition):
        return self.path.from_x0(self.prediction, 0.7 * x_t - 0.1, x_t, t)

    def log_error(self, t):
        return self.level.expand(len(t))


def loss_at(monkeypatch, model, x, noise, t, weighting):
    monkeypatch.setattr(denoising, "draw_times", lambda *_: torch.full((len(x),), t))
    monkeypatch.setattr(denoising.torch, "randn_like", lambda _: noise)
    return float(Denoising(weighting)(model, Batch(x))["denoising"])


@pytest.mark.parametrize("prediction", ["x", "epsilon", "v"])
def test_bound_weighting_is_the_bound(monkeypatch, prediction):
    model = Shrinks(prediction)
    path, size = model.path, 6
    x, noise = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    for t in range(1, 6):
        times = torch.full((3,), t)
        x_t = path.noised(x, times, noise)
        square = ((x - 0.7 * x_t + 0.1) ** 2).sum() / 3
        if t == 1:
            variance = (path.sigma[1] / path.alpha[1]) ** 2
            truth = 0.5 * square / variance
        else:
            _, on_x0, variance = path.posterior(torch.tensor([t]), torch.tensor([t - 1]))
            truth = 0.5 * on_x0**2 * square / variance
        # the mean over t of T times each term is the sum of the terms
        found = loss_at(monkeypatch, model, x, noise, t, "bound") * size / 5
        assert found == pytest.approx(float(truth), rel=1e-9)


@pytest.mark.parametrize("prediction", ["x", "epsilon", "v"])
def test_other_weightings(monkeypatch, prediction):
    model = Shrinks(prediction)
    x, noise = torch.randn(2, 4, 3, dtype=torch.float64)
    ratios = []
    for t in range(1, 6):
        times = torch.full((4,), t)
        alpha, sigma = float(model.path.alpha[t]), float(model.path.sigma[t])
        x_t = alpha * x + sigma * noise
        target = {"x": x, "epsilon": noise, "v": alpha * noise - sigma * x}[prediction]
        mean = ((model.predict(x_t, times, None) - target) ** 2).mean()
        simple = loss_at(monkeypatch, model, x, noise, t, "simple")
        assert simple == pytest.approx(float(mean))
        error = float(((x - 0.7 * x_t + 0.1) ** 2).mean())
        ratios.append((alpha / sigma) ** 2)
        weighted = loss_at(monkeypatch, model, x, noise, t, "min-snr")
        assert weighted == pytest.approx(min(ratios[-1], 5.0) * error)
    assert min(ratios) < 5 < max(ratios)


def test_spread_learns_the_size_of_the_error():
    # the expected gradient vanishes where e^level is the mean of error / σ²
    model = Shrinks("v", num_steps=2)
    model.learns_spread = True
    x = torch.randn(7, 3, dtype=torch.float64)
    model.level = torch.zeros((), dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    info = Denoising()(model, Batch(x))
    info["loss"].backward()
    assert float(model.level.grad) == pytest.approx(0.5 * (1 - float(info["relative_error"])))
    best = info["relative_error"].log()
    model.level = best.clone().requires_grad_()
    torch.manual_seed(0)
    tuned = Denoising()(model, Batch(x))
    tuned["loss"].backward()
    assert float(model.level.grad) == pytest.approx(0.0, abs=1e-12)
    assert float((tuned["loss"] - tuned["denoising"]).detach()) == pytest.approx(
        0.5 * (float(best) + 1)
    )


def test_relative_error_is_that_of_x0(monkeypatch):
    model = Shrinks("v")
    x, noise = torch.randn(2, 4, 3, dtype=torch.float64)
    monkeypatch.setattr(denoising, "draw_times", lambda *_: torch.tensor([1, 2, 3, 5]))
    monkeypatch.setattr(denoising.torch, "randn_like", lambda _: noise)
    found = Denoising()(model, Batch(x))["relative_error"]
    t = torch.tensor([1, 2, 3, 5])
    x_t = model.path.noised(x, t, noise)
    errors = ((x - 0.7 * x_t + 0.1) ** 2).mean(1) / model.path.sigma[t] ** 2
    torch.testing.assert_close(found, errors.mean())


def test_stratified_times_fill_every_stratum():
    t = draw_times("stratified", 50, 100)
    assert bool(((t - 1) // 2 == torch.arange(50)).all())
    assert len({tuple(draw_times("stratified", 50, 100).tolist()) for _ in range(5)}) == 5


@pytest.mark.parametrize("kind", ["stratified", "uniform"])
def test_times_are_uniform(kind):
    # G-test on 8 cells, 24,000 draws: statistic above 29.9 has probability 1e-4 for uniform
    # draws, and less for stratified ones
    torch.manual_seed(1)
    counts = sum(torch.bincount(draw_times(kind, 400, 8) - 1, minlength=8) for _ in range(60))
    assert len(counts) == 8
    expected = counts.sum() / 8
    assert float(2 * (counts * (counts / expected).log()).sum()) < 29.9


def test_logit_normal_times_favour_the_middle():
    t = draw_times("logit-normal", 4000, 1000).double()
    middle = ((t > 250) & (t <= 750)).double().mean()
    # P(|N(0, 1)| < log 3)
    assert float(middle) == pytest.approx(math.erf(math.log(3) / 2**0.5), abs=2e-3)
    assert int(t.min()) >= 1
    assert int(t.max()) <= 1000


def test_errors_teach():
    with pytest.raises(ValueError, match="weighting must be"):
        Denoising("heavy")
    with pytest.raises(ValueError, match="times must be"):
        Denoising(times="late")
