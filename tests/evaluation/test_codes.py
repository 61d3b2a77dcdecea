import math

import pytest
import torch

from genus.data.dataset import Dataset
from genus.evaluation.completion import complete_under_masks, completion_floor
from genus.evaluation.features import (
    neighbour_accuracy,
    neighbour_floor,
    probe_accuracy,
)
from genus.evaluation.reconstruction import reconstruction_error, reconstruction_floor
from genus.models import GAN, PPCA
from genus.spaces import Real


@pytest.fixture
def model(points: Dataset) -> PPCA:
    torch.manual_seed(0)
    return PPCA(Real((4,)), 2).fit(points.train)


def test_neighbours_vote_as_counted_by_hand(points: Dataset, model: PPCA) -> None:
    found = neighbour_accuracy(model, points, num_train=300, num_test=100, num_neighbours=3)
    train, test = (model.encode(points.materialise(s)).detach() for s in ("train", "test"))
    known, truth = points.labels("train"), points.labels("test")
    assert known is not None
    assert truth is not None
    nearest = torch.cdist(test[:100], train[:300]).topk(3, largest=False).indices
    right = (known[:300][nearest].double().mean(1) > 0.5).long() == truth[:100]
    assert found is not None
    assert found.value == pytest.approx(float(right.double().mean()))
    assert found.standard_error == pytest.approx(float(right.double().std()) / 10)
    assert found.num_examples == 100
    assert found.value > 0.9


def test_the_floor_sees_the_data_themselves(points: Dataset, model: PPCA) -> None:
    floor = neighbour_floor(points)
    assert floor is not None
    assert floor.value > 0.9
    with torch.no_grad():
        model.loadings.copy_(torch.tensor([[0.0, 0], [0, 0], [0, 0], [1.0, 1e-6]]))
    blind = neighbour_accuracy(model, points)
    assert blind is not None
    assert blind.value < 0.8


def test_what_has_no_code_or_label_is_none(points: Dataset, bits: Dataset) -> None:
    assert neighbour_accuracy(GAN(Real((4,)), num_latent=2), points) is None
    assert neighbour_floor(bits) is None


def test_no_example_is_a_bad_count(points: Dataset, model: PPCA) -> None:
    for judge in (complete_under_masks, reconstruction_error):
        for settings in ({"n": 0}, {"batch_size": 0}):
            with pytest.raises(ValueError, match="must be a positive integer, got 0"):
                judge(model, points, **settings)
    for floor in (completion_floor, reconstruction_floor):
        with pytest.raises(ValueError, match="n must be a positive integer"):
            floor(points, n=0)


def test_bad_counts_and_broken_codes_are_refused(points: Dataset, model: PPCA) -> None:
    for name in ("num_train", "num_test", "num_neighbours"):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
            neighbour_accuracy(model, points, **{name: 0})
    with pytest.raises(ValueError, match="num_neighbours is 11, but only 10 examples are known"):
        neighbour_accuracy(model, points, num_train=10, num_neighbours=11)
    with torch.no_grad():
        model.mean[0] = math.inf
    for judge in (probe_accuracy, neighbour_accuracy):
        with pytest.raises(ValueError, match="a code is NaN or infinite"):
            judge(model, points)
