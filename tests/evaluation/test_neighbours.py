import pytest
import torch

from genus.evaluation.energy_distance import energy_distance
from genus.evaluation.modes import find_modes
from genus.evaluation.neighbours import manifold, nearest


def draws(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_nearest_equals_the_full_search_whatever_the_block() -> None:
    queries, points = draws(37, 5, 0), draws(53, 5, 1)
    full = torch.cdist(queries.double(), points.double()).sort(1)
    for block in (1, 10, 1000):
        distance, index = nearest(queries, points, 3, block=block)
        assert torch.equal(index, full.indices[:, :3])
        torch.testing.assert_close(distance.double(), full.values[:, :3], rtol=1e-4, atol=1e-4)


def test_identical_sets_have_precision_and_recall_one() -> None:
    x = draws(80, 3, 2)
    found = manifold(x, x.clone())
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)


def test_manifold_equals_the_definition_point_by_point() -> None:
    real, samples, k = draws(60, 4, 8).double(), 1.5 * draws(45, 4, 9).double(), 3
    across = torch.cdist(real, samples)
    reach = torch.cdist(real, real).sort(1).values[:, k]
    reach_of_samples = torch.cdist(samples, samples).sort(1).values[:, k]
    inside = [[across[i, j] < reach[i] for i in range(60)] for j in range(45)]
    found = manifold(real, samples, k)
    assert found.precision == pytest.approx(sum(any(row) for row in inside) / 45)
    assert found.density == pytest.approx(sum(sum(map(float, row)) for row in inside) / (k * 45))
    assert found.coverage == pytest.approx(
        sum(any(inside[j][i] for j in range(45)) for i in range(60)) / 60
    )
    recalled = [any(across[i, j] < reach_of_samples[j] for j in range(45)) for i in range(60)]
    assert found.recall == pytest.approx(sum(recalled) / 60)


@pytest.mark.slow
def test_the_published_example_of_gaussians_in_1000_dimensions() -> None:
    # the package of Naeem et al. 2020 prints these for two sets of 10,000; between seeds they
    # move by about 0.01, the density by 0.03
    found = manifold(draws(10_000, 1000, 0), draws(10_000, 1000, 1))
    assert abs(found.precision - 0.4772) < 0.03
    assert abs(found.recall - 0.4705) < 0.03
    assert abs(found.density - 1.0555) < 0.1
    assert abs(found.coverage - 0.9735) < 0.01


def test_a_collapsed_model_is_precise_and_recalls_nothing() -> None:
    real = draws(500, 2, 4)
    found = manifold(real, 0.01 * draws(500, 2, 5))
    assert found.precision == 1.0
    assert found.recall < 0.1
    assert found.coverage < 0.1


def test_manifold_does_not_depend_on_the_block() -> None:
    real, samples = draws(90, 3, 6), draws(70, 3, 7) * 1.3
    assert manifold(real, samples, block=7) == manifold(real, samples, block=1000)


def test_too_few_data_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        manifold(draws(5, 2, 0), draws(50, 2, 1))
    with pytest.raises(ValueError, match="k must be"):
        nearest(draws(5, 2, 0), draws(4, 2, 1), 5)


def test_energy_distance_of_two_and_three_points_by_hand() -> None:
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [4.0], [0.0]])
    between = (1 + 4 + 0 + 1 + 2 + 2) / 6
    within = 2.0 + (3 + 1 + 4) / 3
    assert energy_distance(x, y) == pytest.approx(2 * between - within)
    assert energy_distance(x, y, block=1) == pytest.approx(2 * between - within)


def test_energy_distance_is_unbiased_at_zero() -> None:
    # 60 repeats: the mean lies within 4 standard errors of 0 but for one time in 10,000
    values = torch.tensor(
        [energy_distance(draws(40, 2, i), draws(40, 2, 1000 + i)) for i in range(60)]
    )
    assert values.mean().abs() < 4 * values.std() / 60**0.5
    assert energy_distance(draws(200, 2, 0), draws(200, 2, 1) + 1) > 0.3


def test_modes_by_hand() -> None:
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    samples = torch.tensor([[0.1, 0.0], [0.0, 0.2], [10.0, 0.1], [5.0, 5.0]])
    samples = torch.cat([samples, torch.tensor([[0.0, 10.5], [0.31, 0.0]])])
    found = find_modes(samples, modes, 0.1)
    assert (found.found, found.known, found.good) == (2, 3, 0.5)
    expected = 2 / 3 * torch.tensor(2.0).log() + 1 / 3 * torch.tensor(1.0).log()
    assert found.kl == pytest.approx(float(expected), abs=1e-6)


def test_no_good_sample_is_no_perfect_score() -> None:
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    found = find_modes(torch.tensor([[5.0, 5.0], [-3.0, 0.0]]), modes, 0.1)
    assert (found.found, found.known, found.good) == (0, 3, 0.0)
    assert found.kl is None
