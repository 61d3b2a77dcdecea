import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genus.data import load
from genus.data.dataset import Dataset
from genus.evaluation import effort as effort_module
from genus.evaluation.effort import effort_curve, grouped_bound
from genus.evaluation.likelihood import likelihood
from genus.evaluation.speed import forget_peak_memory, peak_memory
from genus.model import WeightedBound
from genus.models import PPCA, VAE, Diffusion
from genus.models.variational import vae as vae_module
from genus.spaces import Binary, Real


class Exponential(WeightedBound):
    """Weights p(x) · e with e exponential, so that every bound is known: ψ(K) − log K."""

    def __init__(self, space: Real) -> None:
        super().__init__()
        self.space = space
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def algorithm(self):  # type: ignore[no-untyped-def]
        raise AssertionError

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return torch.randn(n, *self.space.shape)

    def _log_weights(self, x: Tensor, condition: Tensor | None, num_samples: int) -> Tensor:
        return torch.rand(len(x), num_samples).log().neg().log() - 7.0

    def _lower_bound(self, x: Tensor, condition: Tensor | None, effort: int) -> Tensor:
        return self._log_weights(x, condition, effort).logsumexp(1) - math.log(effort)


def test_each_point_of_the_curve_has_the_mean_of_its_own_bound(points: Dataset) -> None:
    efforts = (1, 3, 10, 100)
    found = effort_curve(Exponential(Real((4,))), points, efforts, n=500, seed=2)
    assert found is not None
    assert list(found) == [1, 3, 10, 100]
    for effort, figure in found.items():
        # E log of a Gamma(K, 1) variable is ψ(K); 5 standard errors: false alarm 6e-7 each
        wanted = float(torch.digamma(torch.tensor(float(effort)))) - math.log(effort) - 7.0
        assert figure.standard_error is not None
        assert abs(figure.value - wanted) < 5 * figure.standard_error
        assert figure.sign == ">="
        assert figure.num_examples == 500


def test_the_curve_rises_where_efforts_divide_one_another(bits: Dataset) -> None:
    torch.manual_seed(0)
    model = VAE(Binary((20,)), 3, hidden=(8,))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3.0)
    found = effort_curve(model, bits, (64, 1, 8, 2), n=20, batch_size=7)
    assert found is not None
    values = [figure.value for figure in found.values()]
    assert list(found) == [1, 2, 8, 64]
    assert all(low < high for low, high in pairwise(values))


def test_one_pass_equals_the_bound_asked_alone(bits: Dataset) -> None:
    torch.manual_seed(0)
    model = VAE(Binary((20,)), 3, hidden=(8,))
    curve = effort_curve(model, bits, (1, 200), n=80, seed=3)
    assert curve is not None
    for effort in (1, 200):
        runs = [likelihood(model, bits, n=80, effort=effort, seed=seed) for seed in range(20)]
        alone = torch.tensor([run.nats.value for run in runs if run is not None]).double()
        # the noise of one pass at effort 1 is that of 200 runs, at 200 that of one run: at most
        # one deviation of the runs, beside that of their mean; 5 of both: false alarm 1e-5
        slack = 5 * float(alone.std()) * (1 + 1 / 20) ** 0.5
        assert curve[effort].value == pytest.approx(float(alone.mean()), abs=slack)


def test_pieces_of_any_size_are_the_same_bound(bits: Dataset, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    model = VAE(Binary((20,)), 2, hidden=(8,))
    x = bits.materialise("test", 60)
    whole = model.lower_bound(x, effort=1500, seed=1).detach()
    monkeypatch.setattr(vae_module, "MOST_ROWS", 97)
    parts = model.lower_bound(x, effort=1500, seed=2).detach()
    monkeypatch.setattr(effort_module, "MOST_AT_ONCE", 130)
    curve = effort_curve(model, bits, (1500,), n=60)
    assert curve is not None
    # the draws differ; 1,500 weights leave a datum an error of 0.1 and the mean of 60 one of 0.02
    assert float((whole - parts).abs().max()) < 0.7
    assert float(parts.mean()) == pytest.approx(float(whole.mean()), abs=0.1)
    assert curve[1500].value == pytest.approx(float(whole.mean()), abs=0.1)


def test_grouping_leaves_out_an_incomplete_group() -> None:
    weights = torch.arange(7.0).repeat(2, 1).double()
    expected = (weights[:, :3].logsumexp(1) + weights[:, 3:6].logsumexp(1)) / 2 - math.log(3)
    assert torch.allclose(grouped_bound(weights, 3), expected)


def test_memory_grows_neither_with_the_data_nor_with_the_effort() -> None:
    data = load("mnist", view="binary")
    model = VAE(Binary((1, 28, 28)), 8, hidden=(16,))
    peaks = []
    for n, effort in ((40, 50), (1, 30_000), (80, 400)):
        forget_peak_memory()
        likelihood(model, data, n=n, effort=effort)
        effort_curve(model, data, (1, effort), n=n)
        peaks.append(peak_memory() or 0)
    # 2,048 samples of 784 numbers are 6.4 MB; all 30,000 would be 94 MB, several times over
    assert max(peaks[1:]) < peaks[0] + 150e6


def test_other_models_and_efforts(points: Dataset) -> None:
    assert effort_curve(PPCA(Real((4,)), 2), points) is None
    diffusion = Diffusion(Real((4,)), num_steps=4, channels=(8,))
    curve = effort_curve(diffusion, points, (1, 40), n=30)
    assert curve is not None
    assert curve[40].value > curve[1].value
    told: list[tuple[int, int]] = []
    hurried = effort_curve(
        diffusion, points, (2,), n=30, batch_size=8, seconds=0.0, progress=lambda *p: told.append(p)
    )
    assert hurried is not None
    assert hurried[2].num_examples == 8
    assert told == [(8, 30)]
    for efforts in ((), (0,), (1.5,), (-3, 2)):
        with pytest.raises(ValueError, match="efforts must"):
            effort_curve(diffusion, points, efforts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n must be a positive integer, got 0"):
        effort_curve(diffusion, points, n=0)
