import math

import pytest
import torch

from genus.evaluation.figure import Figure
from genus.evaluation.vendi import vendi_score


def draws(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_orthogonal_data_count_fully_and_copies_once() -> None:
    assert vendi_score(torch.eye(7) * 3).value == pytest.approx(7)
    assert vendi_score(torch.eye(4).repeat(5, 1)).value == pytest.approx(4)
    same = vendi_score(torch.ones(6, 3))
    assert same.value == pytest.approx(1)
    assert "the same" in same.note
    assert same.standard_error == pytest.approx(0, abs=1e-9)


def test_uneven_shares_have_the_exponential_of_their_entropy() -> None:
    x = torch.eye(3)[torch.tensor([0] * 6 + [1] * 3 + [2])]
    expected = math.exp(-sum(p * math.log(p) for p in (0.6, 0.3, 0.1)))
    assert vendi_score(x).value == pytest.approx(expected)


@pytest.mark.parametrize(("n", "d"), [(12, 30), (30, 12)])
def test_both_matrices_equal_the_definition(n: int, d: int) -> None:
    x = draws(n, d, 0).double() + 0.5
    unit = x / x.norm(dim=1, keepdim=True)
    values = torch.linalg.eigvals(unit @ unit.T / n).real.clamp_min(1e-300)
    expected = float(torch.exp(-(values * values.log()).sum()))
    assert vendi_score(x).value == pytest.approx(expected, rel=1e-9)


def test_the_gaussian_kernel_of_two_points_by_hand() -> None:
    x, similarity = torch.tensor([[0.0], [3.0]]), math.exp(-9 / 8)
    high, low = (1 + similarity) / 2, (1 - similarity) / 2
    expected = math.exp(-high * math.log(high) - low * math.log(low))
    assert vendi_score(x, kernel="gaussian", width=2.0).value == pytest.approx(expected)
    with pytest.raises(ValueError, match="width must be positive"):
        vendi_score(x, kernel="gaussian")


def test_samples_of_norm_zero_make_no_nan() -> None:
    assert vendi_score(torch.zeros(5, 2)).value == pytest.approx(1)
    assert vendi_score(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).value == pytest.approx(2)


@pytest.mark.parametrize(("n", "d"), [(80, 12), (60, 100)])
def test_the_interval_is_about_the_value_and_wide_as_fresh_samples_stray(n: int, d: int) -> None:
    scales = torch.logspace(0, -1, d)

    def one(seed: int) -> Figure:
        return vendi_score(draws(n, d, seed) * scales + 0.3)

    fresh = torch.tensor([one(i).value for i in range(60)])
    figure = one(99)
    assert figure.interval is not None
    assert figure.interval[0] < figure.value < figure.interval[1]
    assert 0.6 < (figure.standard_error or 0) / float(fresh.std()) < 1.6


@pytest.mark.parametrize("d", [3, 40])
def test_the_error_answers_to_the_weight_of_each_sample(d: int) -> None:
    x = draws(20, d, 7).double() + 0.4
    unit = x / x.norm(dim=1, keepdim=True)

    def weighted(row: int, more: float) -> float:
        weights = torch.ones(20, dtype=torch.float64) / 20
        weights[row] += more
        half = (weights / weights.sum()).sqrt()
        values = torch.linalg.eigvalsh(half[:, None] * (unit @ unit.T) * half).clamp_min(1e-300)
        return float(torch.exp(-(values * values.log()).sum()))

    slopes = torch.tensor([(weighted(i, 1e-5) - weighted(i, -1e-5)) / 2e-5 for i in range(20)])
    assert vendi_score(x).standard_error == pytest.approx(float(slopes.std()) / 20**0.5, rel=1e-3)


def test_what_has_no_score_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 rows"):
        vendi_score(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="NaN"):
        vendi_score(torch.tensor([[float("nan")]]))
    with pytest.raises(ValueError, match="kernel must be"):
        vendi_score(torch.eye(2), kernel="rbf")  # type: ignore[arg-type]
