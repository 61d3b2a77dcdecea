import math

import pytest
import torch

from genus.evaluation.two_sample import two_sample_test


def draws(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("classifier", ["linear", "neighbours"])
def test_equal_distributions_are_guessed(classifier: str) -> None:
    found = [
        two_sample_test(draws(200, 4, i), draws(200, 4, 1000 + i), classifier=classifier)  # type: ignore[arg-type]
        for i in range(40)
    ]
    # 8,000 fair coins: the mean lies beyond 4 standard errors once in 15,000 runs
    assert abs(sum(one.accuracy.value for one in found) / 40 - 0.5) < 4 * 0.5 / 8000**0.5
    # of 40 p-values about 2 are below 0.05; more than 8 come once in 5,000 runs
    assert sum(one.p_value < 0.05 for one in found) <= 8
    assert sum(one.p_value > 0.5 for one in found) >= 8


def test_moved_means_are_told_apart_as_well_as_the_best_rule_can() -> None:
    found = two_sample_test(draws(4000, 3, 0) + 0.5, draws(4000, 3, 1) - 0.5)
    # the best rule for means 2·√3/2 apart is right Φ(√3/2) of the time
    best = 0.5 * (1 + math.erf(3**0.5 / 2 / 2**0.5))
    # 4,000 answers: beyond 0.025 once in 15,000 runs
    assert found.accuracy.value == pytest.approx(best, abs=0.025)
    assert found.p_value < 1e-10
    assert found.accuracy.interval is not None
    assert found.accuracy.interval[0] < found.accuracy.value < found.accuracy.interval[1]


def test_neighbours_see_a_spread_that_a_line_does_not() -> None:
    near, wide = draws(800, 2, 2), 3 * draws(800, 2, 3)
    assert two_sample_test(near, wide, classifier="neighbours").p_value < 1e-4
    assert two_sample_test(near, wide).accuracy.value < 0.6


def test_the_p_value_by_hand_and_the_same_seed_again() -> None:
    x, y = draws(8, 2, 4), draws(9, 2, 5)
    found = two_sample_test(x, y, seed=3)
    right = round(found.accuracy.value * 8)
    assert found.accuracy.num_examples == 8
    assert found.p_value == pytest.approx(sum(math.comb(8, k) for k in range(right, 9)) / 2**8)
    assert two_sample_test(x, y, seed=3) == found


def test_constant_sets_have_an_answer() -> None:
    same = two_sample_test(torch.ones(40, 3), torch.ones(40, 3))
    assert same.accuracy.value == 0.5
    apart = two_sample_test(torch.ones(40, 3), torch.zeros(40, 3), classifier="neighbours")
    assert apart.accuracy.value == 1.0


def test_sets_that_cannot_be_tested_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 rows"):
        two_sample_test(draws(3, 2, 0), draws(9, 2, 1))
    with pytest.raises(ValueError, match="same feature network"):
        two_sample_test(draws(9, 3, 0), draws(9, 2, 1))
    with pytest.raises(ValueError, match="classifier must be"):
        two_sample_test(draws(9, 2, 0), draws(9, 2, 1), classifier="svm")  # type: ignore[arg-type]
