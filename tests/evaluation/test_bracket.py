"""Annealing both ways against enumeration, on a machine that has learnt MNIST."""

import pytest
import torch

from genus import data
from genus.data.dataset import Dataset
from genus.evaluation.likelihood import likelihood
from genus.models import RBM


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return data.load("mnist", view="binary")


@pytest.fixture(scope="module")
def machine(mnist: Dataset) -> RBM:
    """784 visible and 20 hidden units, more than the model sums by itself."""
    x = mnist.materialise("train", 3000)
    torch.manual_seed(0)
    model = RBM(mnist.space, 20, num_steps=500, num_temperatures=600)
    model.set_visible_bias(x.mean(0))
    return model.fit(x, epochs=3, device="cpu")


def test_the_likelihood_of_mnist_is_bracketed(mnist: Dataset, machine: RBM) -> None:
    found = likelihood(machine, mnist, n=50, effort=100)
    assert found is not None
    assert found.reverse is not None
    assert found.bracket is not None
    energies = machine.free_energy(mnist.materialise("test", 50)).double()
    truth = float((-energies - machine.log_partition_exact()).mean())
    assert -190 < truth < -120
    lower, upper = found.bracket
    assert (lower.sign, upper.sign, found.nats.sign) == (">=", "<=", "~")
    assert lower.value < truth < upper.value
    assert upper.value - lower.value < 2.0
    # the standard error of log Z by 100 chains is about 0.1
    assert abs(found.nats.value - truth) < 0.5
    assert abs(found.reverse.value - truth) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("num_temperatures", [500, 5000])
def test_twenty_seeds_of_twenty_bracket_within_a_tenth_of_a_nat(
    mnist: Dataset, machine: RBM, num_temperatures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = mnist.materialise("test", 20)
    truth = float((-machine.free_energy(x).double() - machine.log_partition_exact()).mean())
    monkeypatch.setattr(machine, "num_temperatures", num_temperatures)
    chains = 500 if num_temperatures == 500 else 50
    for seed in range(20):
        found = likelihood(machine, mnist, n=20, effort=chains, seed=seed)
        assert found is not None
        assert found.reverse is not None
        assert found.bracket is not None
        assert abs(found.nats.value - truth) < 0.1
        assert abs(found.reverse.value - truth) < 0.1
        assert found.bracket[0].value < truth < found.bracket[1].value
        assert found.bracket[1].value - found.bracket[0].value < 0.5
