import numpy as np
import pytest
import scipy.linalg
import torch

from genus.evaluation.frechet import Moments, frechet_distance, frechet_figure


def by_square_root(first: torch.Tensor, second: torch.Tensor) -> float:
    """The form that other packages use: scipy's square root of the product."""
    means = [x.double().mean(0).numpy() for x in (first, second)]
    covariances = [np.cov(x.double().numpy().T) for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    traces = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root).real
    return float(((means[0] - means[1]) ** 2).sum() + traces)


def by_symmetric_form(first: Moments, second: Moments) -> float:
    """2 tr (Σ₁^½ Σ₂ Σ₁^½)^½ through eigenvalues of full matrices."""
    a, b = (m.root.T @ m.root for m in (first, second))
    values, vectors = torch.linalg.eigh(a)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    common = torch.linalg.eigvalsh(root @ b @ root).clamp_min(0).sqrt().sum()
    shift = (first.mean - second.mean).square().sum()
    return float(shift + a.trace() + b.trace() - 2 * common)


def features(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator) * torch.logspace(1, -2, d)
    return torch.randn(n, d, generator=generator) @ mixing + seed


def test_diagonal_gaussians_have_the_closed_form() -> None:
    scales = torch.tensor([9.0, 0.25, 1e-4, 4.0], dtype=torch.float64)
    others = torch.tensor([1.0, 0.09, 1e-2, 100.0], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=torch.float64)
    expected = float(mean.square().sum() + (scales.sqrt() - others.sqrt()).square().sum())
    found = frechet_distance(
        Moments.known(torch.zeros(4), torch.diag(scales)), Moments.known(mean, torch.diag(others))
    )
    assert found == pytest.approx(expected, rel=1e-6)


def test_commuting_gaussians_have_the_closed_form_in_any_basis() -> None:
    turn = torch.linalg.qr(features(5, 5, 2).double()).Q
    first = torch.tensor([4.0, 1.0, 0.01, 25.0, 0.5], dtype=torch.float64)
    second = torch.tensor([1.0, 9.0, 0.04, 16.0, 2.0], dtype=torch.float64)
    expected = float((first.sqrt() - second.sqrt()).square().sum())
    found = frechet_distance(
        Moments.known(torch.zeros(5), turn @ torch.diag(first) @ turn.T),
        Moments.known(torch.zeros(5), turn @ torch.diag(second) @ turn.T),
    )
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (12, 200), (12, 9)])
def test_agrees_with_scipy_and_with_the_full_symmetric_form(n: int, m: int) -> None:
    first, second = features(n, 20, 1), features(m, 20, 2)
    ours = frechet_distance(Moments.of(first), Moments.of(second))
    assert ours == pytest.approx(by_symmetric_form(Moments.of(first), Moments.of(second)), rel=1e-6)
    assert ours == pytest.approx(by_square_root(first, second), rel=1e-3)


def test_a_set_is_at_no_distance_from_itself_even_below_the_rank() -> None:
    few = features(7, 30, 5)
    assert frechet_distance(Moments.of(few), Moments.of(few)) == pytest.approx(0, abs=1e-9)


def test_the_figure_does_not_depend_on_the_order_and_warns_of_few_samples() -> None:
    first, second = features(500, 6, 1), Moments.of(features(400, 6, 2))
    with pytest.warns(UserWarning, match="below 2048"):
        figure = frechet_figure(first, second)
    turned = frechet_figure(first.flip(0), second, warn=False)
    assert figure.value == pytest.approx(turned.value, rel=1e-9)
    assert "500 samples" in figure.note
    assert figure.standard_error is not None


def test_the_bootstrap_spread_is_that_of_fresh_samples() -> None:
    second = Moments.known(torch.zeros(3), torch.eye(3))
    fresh = [
        frechet_figure(
            torch.randn(300, 3, generator=torch.Generator().manual_seed(i)) * 2,
            second,
            resamples=0,
            warn=False,
        ).value
        for i in range(40)
    ]
    one = torch.randn(300, 3, generator=torch.Generator().manual_seed(99)) * 2
    error = frechet_figure(one, second, resamples=100, warn=False).standard_error
    assert error is not None
    assert 0.6 < error / float(torch.tensor(fresh).std()) < 1.6


def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Moments.of(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="NaN"):
        Moments.of(torch.full((4, 3), float("nan")))
    with pytest.raises(ValueError, match="same feature network"):
        frechet_distance(Moments.of(features(9, 3, 1)), Moments.of(features(9, 4, 1)))
