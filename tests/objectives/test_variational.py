import math

import pytest
import torch

from genus.engine import Batch
from genus.objectives.variational import BoundTerms, EvidenceLowerBound, ImportanceWeighted


class Table:
    """A model whose terms are given numbers."""

    def __init__(self, log_likelihood, kl, weights):
        self.terms = BoundTerms(log_likelihood, kl)
        self.weights = weights

    def _bound_terms(self, x, condition):
        return self.terms

    def _log_weights(self, x, condition, num_samples):
        assert num_samples == self.weights.shape[1]
        return self.weights


MODEL = Table(
    torch.tensor([-90.0, -110.5, -3.0]),
    torch.tensor([4.0, 0.25, 31.0]),
    torch.tensor([[-800.0, -802.0], [3.0, -40.0], [0.0, 0.0]]),
)
BATCH = Batch(torch.zeros(3, 1))


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.5])
def test_bound_is_in_nats_a_datum(beta):
    info = EvidenceLowerBound(beta)(MODEL, BATCH)
    assert info["reconstruction"].item() == pytest.approx((90 + 110.5 + 3) / 3)
    assert info["kl"].item() == pytest.approx(35.25 / 3)
    assert info["loss"].item() == pytest.approx((203.5 + beta * 35.25) / 3)


def test_importance_weighted_averages_weights_not_logarithms():
    info = ImportanceWeighted(2)(MODEL, BATCH)
    rows = [-800 + math.log((1 + math.exp(-2)) / 2), 3 - math.log(2), 0.0]
    assert info["loss"].item() == pytest.approx(-sum(rows) / 3, rel=1e-6)
    share = 1 / (1 + math.exp(-2))
    effective = [1 / (share**2 + (1 - share) ** 2), 1.0, 2.0]
    assert info["effective_samples"].item() == pytest.approx(sum(effective) / 3, rel=1e-6)


def test_importance_weighted_gradient_favours_the_best_draws():
    weights = torch.tensor([[0.0, -1.0, 5.0]], requires_grad=True)
    ImportanceWeighted(3)(Table(None, None, weights), BATCH)["loss"].backward()
    assert torch.allclose(-weights.grad, weights.detach().softmax(1))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="beta must be at least 0, got -1"):
        EvidenceLowerBound(-1)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        ImportanceWeighted(0)
