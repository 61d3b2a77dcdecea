import numpy as np
import pytest
import scipy.linalg
import torch

from genus.evaluation.frechet import (
    BLOCK,
    Moments,
    frechet_distance,
    frechet_figure,
    frechet_infinity,
)


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


def test_two_gaussians_of_the_plane_have_the_closed_form() -> None:
    # tr (AB)^½ = (tr AB + 2 (det A det B)^½)^½ for 2×2 matrices that do not commute
    a = torch.tensor([[4.0, 1.5], [1.5, 1.0]], dtype=torch.float64)
    b = torch.tensor([[0.5, -0.3], [-0.3, 2.0]], dtype=torch.float64)
    mean = torch.tensor([0.3, -1.1], dtype=torch.float64)
    common = (torch.trace(a @ b) + 2 * (torch.det(a) * torch.det(b)).sqrt()).sqrt()
    expected = float(mean.square().sum() + torch.trace(a + b) - 2 * common)
    found = frechet_distance(Moments.known(torch.zeros(2), a), Moments.known(mean, b))
    assert found == pytest.approx(expected, rel=1e-6)


def test_singular_gaussians_have_the_closed_form() -> None:
    # Σ₁ = aaᵀ and Σ₂ = bbᵀ in 300 dimensions: the trace is |a·b|
    a, b = features(2, 300, 3).double() - 3
    expected = float(a.square().sum() + b.square().sum() - 2 * (a @ b).abs())
    zero = torch.zeros(300)
    first, second = Moments.known(zero, a.outer(a)), Moments.known(zero, b.outer(b))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    full = Moments.known(zero, torch.eye(300))
    expected = float(a.square().sum() + 300 - 2 * a.norm())
    assert frechet_distance(first, full) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(full, first) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (12, 200), (12, 9)])
def test_agrees_with_scipy_and_with_the_full_symmetric_form(n: int, m: int) -> None:
    first, second = features(n, 20, 1), features(m, 20, 2)
    ours = frechet_distance(Moments.of(first), Moments.of(second))
    assert ours == pytest.approx(by_symmetric_form(Moments.of(first), Moments.of(second)), rel=1e-6)
    assert ours == pytest.approx(by_square_root(first, second), rel=1e-3)


def test_agrees_with_torchmetrics() -> None:
    fid = pytest.importorskip(
        "torchmetrics.image.fid", reason="torchmetrics is not installed: pip install torchmetrics"
    )
    first, second = features(500, 12, 1).double(), features(400, 12, 2).double()
    theirs = fid._compute_fid(
        first.mean(0), torch.cov(first.T), second.mean(0), torch.cov(second.T)
    )
    ours = frechet_distance(Moments.of(first), Moments.of(second))
    assert ours == pytest.approx(float(theirs), rel=1e-3)


@pytest.mark.parametrize("rows", [2, 50, 2 * BLOCK + 77])
def test_the_moments_do_not_depend_on_the_batches(rows: int) -> None:
    x = features(rows, 7, 4)
    whole = Moments.of(x)
    torch.testing.assert_close(whole.mean, x.double().mean(0))
    torch.testing.assert_close(whole.root.T @ whole.root, torch.cov(x.double().T))
    for size in (1, 33, BLOCK, BLOCK + 1):
        if rows / size > 3000:
            continue
        streamed = Moments.streamed(x.split(size))
        assert streamed.num_samples == rows
        torch.testing.assert_close(streamed.mean, whole.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            streamed.root.T @ streamed.root, whole.root.T @ whole.root, rtol=1e-10, atol=1e-10
        )


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


@pytest.mark.parametrize("n", [8, 40])
def test_the_error_answers_to_the_weight_of_each_sample(n: int) -> None:
    second = Moments.of(features(400, 12, 1))
    x = features(n, 12, 2).double() / 3

    def weighted(row: int, more: float) -> float:
        weights = torch.ones(n, dtype=torch.float64) / n
        weights[row] += more
        weights /= weights.sum()
        mean = weights @ x
        covariance = (x - mean).T @ (weights[:, None] * (x - mean)) * n / (n - 1)
        return frechet_distance(Moments.known(mean, covariance), second)

    slopes = torch.tensor([(weighted(i, 1e-4) - weighted(i, -1e-4)) / 2e-4 for i in range(n)])
    expected = float(slopes.std()) / n**0.5
    found = frechet_figure(x, second, warn=False).standard_error
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_bootstrap_is_centred_though_samples_are_few() -> None:
    # 20 features and 60 samples: a bootstrap of copies would lie at twice the distance
    second = Moments.of(features(3000, 20, 1))
    fresh = []
    for i in range(30):
        generator = torch.Generator().manual_seed(i)
        rows = torch.randint(0, 3000, (60,), generator=generator)
        fresh.append(frechet_figure(features(3000, 20, 1)[rows], second, warn=False))
    values = torch.tensor([figure.value for figure in fresh])
    errors = [figure.standard_error or 0.0 for figure in fresh]
    assert 0.6 < sum(errors) / 30 / float(values.std()) < 2
    for figure in fresh:
        assert figure.interval is not None
        assert figure.interval[0] < figure.value < figure.interval[1]


def test_the_limit_is_found_where_the_distance_is_not() -> None:
    # N(0, I) against itself in 16 dimensions is 0 apart; 200 samples add about 0.5
    reference = Moments.known(torch.zeros(16), torch.eye(16))
    found, plain = [], []
    for i in range(12):
        x = torch.randn(200, 16, generator=torch.Generator().manual_seed(i))
        found.append(frechet_infinity(x, reference, seed=i))
        plain.append(frechet_figure(x, reference, warn=False).value)
    values = torch.tensor([figure.value for figure in found])
    error = float(values.std()) / 12**0.5
    # a truth outside 4 standard errors of twelve draws comes once in 500 runs
    assert abs(float(values.mean())) < 4 * error
    assert sum(plain) / 12 > 0.3
    stated = sum(figure.standard_error or 0.0 for figure in found) / 12
    assert 0.6 < stated / float(values.std()) < 1.7
    assert found[0].interval is not None


def test_a_constant_set_has_a_distance_and_a_note() -> None:
    reference = Moments.known(torch.zeros(3), torch.eye(3))
    figure = frechet_figure(torch.full((50, 3), 2.0), reference, warn=False)
    assert figure.value == pytest.approx(15.0)
    assert figure.standard_error == 0.0
    assert "all samples are the same" in figure.note


def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Moments.of(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="NaN"):
        Moments.of(torch.full((4, 3), float("nan")))
    with pytest.raises(ValueError, match="at least 2"):
        Moments.streamed([])
    with pytest.raises(ValueError, match="symmetric"):
        Moments.known(torch.zeros(2), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        Moments.known(torch.zeros(2), torch.eye(3))
    with pytest.raises(ValueError, match="smallest 2 to 29"):
        frechet_infinity(features(30, 3, 1), Moments.of(features(9, 3, 1)), smallest=40)
    with pytest.raises(ValueError, match="same feature network"):
        frechet_distance(Moments.of(features(9, 3, 1)), Moments.of(features(9, 4, 1)))
