import math

import pytest
import torch

from genus.evaluation.bootstrap import bootstrap, bootstrap_mean, bootstrapped_mean


def uneven(n: int, seed: int) -> torch.Tensor:
    """Exponential values: mean 1, variance 1, skewed."""
    return -torch.rand(n, generator=torch.Generator().manual_seed(seed)).double().log()


def test_the_fast_path_equals_the_bootstrap_of_the_mean() -> None:
    values = uneven(300, 1)
    slow = bootstrap(lambda rows: float(values[rows].mean()), 300, resamples=4000, seed=1)
    fast = bootstrap_mean([values], resamples=4000, seed=2)
    assert slow.standard_error is not None
    assert slow.interval is not None
    assert fast.interval is not None
    # 4,000 resamples: an end strays by about 0.045 standard errors
    for one, other in zip(slow.interval, fast.interval, strict=True):
        assert abs(one - other) < 0.25 * slow.standard_error
    assert slow.standard_error == pytest.approx(fast.standard_error, rel=0.06)


def test_two_values_are_resampled_as_a_binomial() -> None:
    values = (torch.arange(400) < 30).double() * 3 - 1
    fast = bootstrap_mean([values], resamples=4000)
    slow = bootstrap(lambda rows: float(values[rows].mean()), 400, resamples=4000)
    assert fast.interval == pytest.approx(slow.interval, abs=0.25 * (slow.standard_error or 0))


def test_the_interval_covers_the_truth_95_times_in_100() -> None:
    # 400 intervals: fewer than 360 or more than 395 hold the truth once in 10,000 runs at 95 %;
    # skewed values of 100 rows are known to lose a point or two
    hits = 0
    for i in range(400):
        interval = bootstrap_mean([uneven(100, i)], resamples=400, seed=i).interval
        assert interval is not None
        hits += interval[0] < 1 < interval[1]
    assert 356 <= hits <= 395


def test_parts_are_drawn_apart() -> None:
    first, second = uneven(200, 3), 5 * uneven(50, 4)
    spread = bootstrap_mean([first, second], resamples=4000)
    error = math.sqrt(float(first.var()) / 200 + float(second.var()) / 50)
    assert spread.standard_error == pytest.approx(error)
    assert spread.interval is not None
    low, high = spread.interval
    assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.1)
    assert low < float(first.mean() + second.mean()) < high


def test_a_biased_statistic_is_centred_on_request() -> None:
    values = uneven(60, 5)
    largest = float(values.max())
    plain = bootstrap(lambda rows: float(values[rows].max()), 60, centre=None)
    moved = bootstrap(lambda rows: float(values[rows].max()), 60, centre=largest)
    assert plain.interval is not None
    assert moved.interval is not None
    assert plain.interval[1] <= largest < moved.interval[1]
    assert plain.standard_error == pytest.approx(moved.standard_error)


def test_the_same_seed_gives_the_same_interval_and_no_other_generator_moves() -> None:
    values = uneven(50, 6)
    state = torch.random.get_rng_state()
    assert bootstrap_mean([values], seed=3) == bootstrap_mean([values], seed=3)
    assert bootstrap_mean([values], seed=3) != bootstrap_mean([values], seed=4)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_constant_has_no_spread_and_one_row_an_unknown_one() -> None:
    constant = bootstrapped_mean(torch.full((20,), 2.5))
    assert constant.value == 2.5
    assert constant.standard_error == 0.0
    assert constant.interval == (2.5, 2.5)
    single = bootstrapped_mean(torch.tensor([4.0]))
    assert (single.value, single.standard_error, single.interval) == (4.0, None, None)
    with pytest.raises(ValueError, match="at least 1 row"):
        bootstrapped_mean(torch.zeros(0))


def test_many_rows_are_not_gathered_at_once() -> None:
    figure = bootstrapped_mean(uneven(200_000, 7))
    assert figure.standard_error == pytest.approx(1 / 200_000**0.5, rel=0.05)
    assert figure.interval is not None
    low, high = figure.interval
    assert (high - low) / (2 * 1.96) == pytest.approx(1 / 200_000**0.5, rel=0.2)
