import math

import pytest
import torch

from genus.data.toys import gaussians_25, ring
from genus.evaluation.modes import find_modes, stacked_modes

CORNERS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def around(modes: torch.Tensor, counts: list[int], seed: int) -> torch.Tensor:
    """Samples of deviation 0.05 about some modes."""
    centres = modes.repeat_interleave(torch.tensor(counts), 0)
    generator = torch.Generator().manual_seed(seed)
    return centres + 0.05 * torch.randn(centres.shape, generator=generator)


def test_both_divergences_by_hand() -> None:
    found = find_modes(torch.cat([CORNERS[:1]] * 3 + [CORNERS]), CORNERS, 0.1)
    shares = [4 / 6, 1 / 6, 1 / 6]
    assert found.kl == pytest.approx(sum(p * math.log(3 * p) for p in shares))
    assert found.kl_truth_samples == pytest.approx(sum(math.log(1 / (3 * p)) / 3 for p in shares))
    missed = find_modes(CORNERS[:2], CORNERS, 0.1)
    assert missed.kl == pytest.approx(math.log(1.5))
    assert missed.kl_truth_samples == math.inf


@pytest.mark.parametrize(("toy", "known"), [(gaussians_25, 25), (ring, 8)])
def test_real_data_reach_every_mode(toy, known: int) -> None:  # type: ignore[no-untyped-def]
    data = toy()
    x = data.materialise("test", 2000).flatten(1)
    found = find_modes(x, data.truth.modes.flatten(1), data.truth.standard_deviation)
    assert (found.found, found.known) == (known, known)
    # three deviations of the plane hold 1 − exp(−4.5) = 0.9889: 4 errors of 2,000 are 0.0094
    assert abs(found.good - (1 - math.exp(-4.5))) < 0.0094
    assert found.kl is not None
    # 2n·KL is about chi-squared with known − 1 degrees: beyond 3 times its mean once in 10,000
    assert found.kl < 3 * (known - 1) / 4000


def test_a_collapsed_model_is_seen() -> None:
    modes = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    counts = [100] * 5 + [0] * 20
    found = find_modes(around(modes, counts, 0), modes, 0.05)
    assert found.found == 5
    assert found.kl == pytest.approx(math.log(5), abs=0.05)


def test_the_spreads_are_those_of_fresh_samples() -> None:
    def counts(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), 200, True, generator=generator)
        return torch.bincount(drawn, minlength=3).tolist()

    fresh = [find_modes(around(CORNERS, counts(i), i), CORNERS, 0.05) for i in range(40)]
    kls = torch.tensor([one.kl for one in fresh])
    error = sum(one.spreads["kl"].standard_error or 0 for one in fresh) / 40
    assert 0.7 < error / float(kls.std()) < 1.4
    figures = fresh[0].figures()
    for name in ("high_quality", "kl"):
        interval = figures[name].interval
        assert interval is not None
        assert interval[0] < figures[name].value < interval[1]
    assert figures["modes"].value == 3
    assert figures["modes"].note == "of 3 modes"


def test_stacked_digits_are_numbers_of_three_digits() -> None:
    red, green, blue = torch.tensor([1, 1, 9]), torch.tensor([2, 2, 9]), torch.tensor([3, 3, 9])
    found = stacked_modes([red, green, torch.eye(10)[blue]])
    assert (found.found, found.known, found.good) == (2, 1000, 1.0)
    expected = 2 / 3 * math.log(1000 * 2 / 3) + 1 / 3 * math.log(1000 / 3)
    assert found.kl == pytest.approx(expected)
    truth = torch.zeros(1000).double()
    truth[[123, 999, 321]] = torch.tensor([0.5, 0.25, 0.25]).double()
    beside = stacked_modes([red, green, blue], truth=truth)
    expected = 2 / 3 * math.log(2 / 3 / 0.5) + 1 / 3 * math.log(1 / 3 / 0.25)
    assert beside.kl == pytest.approx(expected)
    assert beside.kl_truth_samples == math.inf
    truth[[123, 0]] = torch.tensor([0.0, 0.5]).double()
    assert stacked_modes([red, green, blue], truth=truth).kl == math.inf


def test_26_000_even_draws_find_all_modes_at_the_chance_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    channels = [torch.randint(0, 10, (26_000,), generator=generator) for _ in range(3)]
    found = stacked_modes(channels, resamples=20)
    assert found.found == 1000
    # 52,000 · KL is about chi-squared with 999 degrees: ± 4 deviations
    assert found.kl == pytest.approx(999 / 52_000, abs=4 * (2 * 999) ** 0.5 / 52_000)
    interval = found.figures()["kl"].interval
    assert interval is not None
    assert interval[0] < found.kl < interval[1]


def test_what_has_no_modes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 rows"):
        find_modes(torch.zeros(0, 2), CORNERS, 0.1)
    with pytest.raises(ValueError, match="NaN"):
        find_modes(torch.full((3, 2), float("nan")), CORNERS, 0.1)
    with pytest.raises(ValueError, match="samples and modes"):
        find_modes(torch.zeros(3, 1), CORNERS, 0.1)
    with pytest.raises(ValueError, match="standard_deviation"):
        find_modes(torch.zeros(3, 2), CORNERS, 0.0)
    labels = torch.tensor([0, 3])
    with pytest.raises(ValueError, match="one length"):
        stacked_modes([labels, labels[:1]])
    with pytest.raises(ValueError, match="0 to 2"):
        stacked_modes([labels], num_classes=3)
    with pytest.raises(ValueError, match="at least one channel"):
        stacked_modes([])
    with pytest.raises(ValueError, match="10 shares"):
        stacked_modes([labels], truth=torch.ones(10))
    with pytest.raises(ValueError, match="whole labels"):
        stacked_modes([labels.float()])
