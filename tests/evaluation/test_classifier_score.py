import math

import pytest
import torch

from genus.evaluation.classifier_score import class_histogram, classifier_score


def certain(counts: list[int]) -> torch.Tensor:
    return torch.eye(len(counts)).repeat_interleave(torch.tensor(counts), 0)


def test_certain_and_even_classes_score_their_number() -> None:
    assert classifier_score(certain([5, 5, 5, 5])).value == pytest.approx(4)
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert classifier_score(certain([6, 2])).value == pytest.approx(math.exp(entropy))


def test_alike_or_unsure_samples_score_one() -> None:
    assert classifier_score(torch.full((8, 10), 0.1)).value == pytest.approx(1)
    same = classifier_score(certain([9, 0, 0]))
    assert same.value == pytest.approx(1)
    assert same.standard_error == pytest.approx(0, abs=1e-12)


def test_the_score_is_the_exponential_of_the_mean_divergence() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.9, 0.1, 0.0]]).double()
    marginal = p.mean(0)
    terms = [
        sum(float(a) * math.log(float(a / m)) for a, m in zip(row, marginal, strict=True) if a > 0)
        for row in p
    ]
    assert classifier_score(p).value == pytest.approx(math.exp(sum(terms) / 4))


def test_the_interval_is_as_wide_as_fresh_samples_stray() -> None:
    def one(seed: int) -> torch.Tensor:
        logits = 2 * torch.randn(200, 5, generator=torch.Generator().manual_seed(seed))
        return (logits * torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0])).softmax(1)

    fresh = torch.tensor([classifier_score(one(i), resamples=0).value for i in range(60)])
    figure = classifier_score(one(99))
    assert 0.6 < (figure.standard_error or 0) / float(fresh.std()) < 1.6
    assert figure.interval is not None
    assert figure.interval[0] < figure.value < figure.interval[1]


def test_the_histogram_by_hand() -> None:
    found = class_histogram(certain([6, 2, 0]), certain([2, 1, 1]))
    assert found.samples.tolist() == [6, 2, 0]
    assert found.real.tolist() == [2, 1, 1]
    assert found.kl.value == pytest.approx(0.75 * math.log(0.75 / 0.5))
    assert found.total_variation.value == pytest.approx((0.25 + 0 + 0.25) / 2)
    assert found.unknown == 0
    assert found.kl.interval is not None


def test_a_class_that_is_not_real_is_infinite_and_told() -> None:
    found = class_histogram(certain([6, 2, 1]), certain([2, 1, 0]))
    assert found.kl.value == math.inf
    assert found.unknown == 1
    assert "1 samples lie in classes without" in found.kl.note
    assert found.total_variation.value == pytest.approx(1 / 9)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax"):
        classifier_score(torch.tensor([[2.0, -1.0]]))
    with pytest.raises(ValueError, match="softmax"):
        classifier_score(torch.tensor([[0.4, 0.4]]))
    with pytest.raises(ValueError, match="at least 1 rows"):
        classifier_score(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="same features"):
        class_histogram(certain([1, 1]), certain([1, 1, 1]))
