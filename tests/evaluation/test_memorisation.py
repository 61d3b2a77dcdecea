import pytest
import scipy.stats
import torch

from genus.evaluation.memorisation import memorisation


def draws(n: int, seed: int, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


TRAIN, HELD_OUT = draws(2000, 0), draws(1000, 1)


def test_fresh_draws_copy_nothing() -> None:
    found = memorisation(draws(1500, 2), TRAIN, HELD_OUT, quantile=0.05)
    # 1,500 draws against a threshold from 1,000: beyond 4 errors once in 10,000 runs
    assert abs(found.near_copies.value - 0.05) < 4 * (0.05 * 0.95 * (1 / 1500 + 1 / 1000)) ** 0.5
    assert abs(found.nearer_train.value - 0.5) < 0.1
    assert abs(found.copying) < 4
    assert found.median_distance == pytest.approx(found.held_out_distance, rel=0.05)


def test_copies_are_counted_and_named() -> None:
    samples = draws(500, 3)
    samples[[7, 100, 400]] = TRAIN[[1999, 0, 64]] + torch.tensor([[0.0], [1e-5], [1e-3]])
    found = memorisation(samples, TRAIN, HELD_OUT, quantile=0.002, num_suspects=3)
    assert found.suspects.tolist() == [[7, 1999], [100, 0], [400, 64]]
    assert float(found.distances[0]) == 0
    assert found.distances[2] == pytest.approx(1e-3 * 6**0.5, rel=1e-2)
    assert 3 / 500 <= found.near_copies.value <= 8 / 500
    half = torch.cat([draws(250, 4), TRAIN[:250] + 1e-3])
    copied = memorisation(half, TRAIN, HELD_OUT)
    assert copied.near_copies.value >= 0.5
    assert copied.near_copies.interval is not None
    assert copied.copying < -3
    assert copied.nearer_train.value > 0.55
    assert memorisation(5 * draws(500, 5), TRAIN, HELD_OUT).copying > 3


def test_the_z_score_is_that_of_scipy_with_ties() -> None:
    samples, train = draws(60, 6, 1).round(decimals=1), torch.zeros(1, 1)
    held_out = 1.3 * draws(45, 7, 1).round(decimals=1)
    found = memorisation(samples, train, held_out, quantile=0.5)
    theirs = scipy.stats.mannwhitneyu(
        samples.abs()[:, 0].double().numpy(),
        (held_out.abs()[:, 0].double()).numpy(),
        method="asymptotic",
        use_continuity=False,
    )
    assert 2 * scipy.stats.norm.sf(abs(found.copying)) == pytest.approx(theirs.pvalue, rel=1e-6)


def test_constant_sets_have_numbers_and_a_note() -> None:
    found = memorisation(torch.ones(20, 2), torch.ones(30, 2), torch.ones(10, 2))
    assert found.copying == 0.0
    assert found.nearer_train.value == 0.5
    assert found.near_copies.value == 1.0
    assert "themselves copies" in found.near_copies.note


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="samples must have at least 1 rows"):
        memorisation(draws(0, 0), TRAIN, HELD_OUT)
    with pytest.raises(ValueError, match="samples and train"):
        memorisation(draws(9, 0, 4), TRAIN, HELD_OUT)
    with pytest.raises(ValueError, match="quantile"):
        memorisation(draws(9, 0), TRAIN, HELD_OUT, quantile=1.0)
