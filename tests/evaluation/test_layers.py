import pytest
import torch

from genus.data.dataset import Dataset
from genus.evaluation import Effort, evaluate, layer_likelihoods
from genus.models import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.recipes.results import metrics_of
from genus.spaces import Categorical
from genus.testing import stiffen

FEW = {"num_temperatures": 30, "num_chains": 40, "num_steps": 20}


def network(data: Dataset, hidden=(18, 4, 5), **settings) -> DeepBeliefNetwork:
    torch.manual_seed(0)
    return stiffen(DeepBeliefNetwork(data.space, hidden, **FEW, **settings).double(), 1.0)


def test_figures_are_the_means_of_the_bounds_after_each_layer(bits: Dataset) -> None:
    """Layer 1 has 20 and 18 units and an annealed log Z, the others a side that is summed."""
    model = network(bits)
    found = layer_likelihoods(model, bits, n=90, batch_size=40, seed=3)
    bounds = model.layer_bounds(bits.materialise("test", 90), seed=4)
    assert list(found) == [1, 2, 3]
    assert [figure.sign for figure in found.values()] == ["~", ">=", ">="]
    # the first has no draws; those of the others differ in 90 data by a few standard errors
    first = bounds.value[:, 0]
    assert found[1].value == pytest.approx(float(first.mean()), abs=1e-9)
    chance, log_z = float(first.std()) / 90**0.5, float(bounds.standard_error[0, 0])
    assert log_z > 0
    assert not bool(bounds.standard_error[:, 1:].any())
    assert found[1].standard_error == pytest.approx((chance**2 + log_z**2) ** 0.5, rel=1e-6)
    for depth in (2, 3):
        values = bounds.value[:, depth - 1]
        error = 5 * float(values.std()) / 90**0.5
        assert abs(found[depth].value - float(values.mean())) < error
        assert found[depth].num_examples == 90
    assert max(f.value for f in found.values()) - min(f.value for f in found.values()) > 1


def test_a_record_has_a_row_for_each_layer(bits: Dataset) -> None:
    report = evaluate(network(bits), bits, only=["layers"], effort=Effort(likelihood_examples=30))
    rows = metrics_of(report)
    assert [name for name in rows if "layer" in name] == [
        "log_likelihood, 1 layer",
        "log_likelihood, 2 layers",
        "log_likelihood, 3 layers",
    ]
    assert rows["log_likelihood, 1 layer"].sign == "~"


def test_layers_below_the_label_say_that_they_do_not_know_it(bits: Dataset) -> None:
    x = bits.materialise("test", 12)
    model = network(bits, (4, 3), condition=Categorical((), 2))
    bounds = model.layer_bounds(x, condition=torch.arange(12) % 2, seed=0)
    other = model.layer_bounds(x, condition=(torch.arange(12) + 1) % 2, seed=0)
    assert torch.equal(bounds.value[:, 0], other.value[:, 0])
    assert not torch.allclose(bounds.value[:, 1], other.value[:, 1])


def test_other_models_have_no_layers_to_judge(bits: Dataset) -> None:
    assert layer_likelihoods(DeepBoltzmannMachine(bits.space, (4, 3)), bits) is None
