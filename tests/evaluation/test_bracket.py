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
    assert lower.standard_error is not None
    assert upper.standard_error is not None
    # the chance of either end on the wrong side is that of 4 standard errors, 6e-5
    assert lower.value - 4 * lower.standard_error < truth < upper.value + 4 * upper.standard_error
    assert lower.value < truth < upper.value
    assert upper.value - lower.value < 2.0
    # the standard error of log Z by 100 chains is about 0.1
    assert abs(found.nats.value - truth) < 0.5
    assert abs(found.reverse.value - truth) < 0.5


@pytest.mark.slow
def test_twenty_seeds_of_twenty_bracket_within_a_tenth_of_a_nat(machine: RBM) -> None:
    truth = float(machine.log_partition_exact())
    for seed in range(20):
        up = machine.log_partition(500, num_temperatures=3000, seed=seed)
        down = machine.log_partition_upper(500, num_temperatures=3000, seed=100 + seed)
        assert abs(up.value - truth) < 0.1
        assert abs(down.value - truth) < 0.1
        assert up.bound < truth < down.bound
        assert down.bound - up.bound < 0.5
