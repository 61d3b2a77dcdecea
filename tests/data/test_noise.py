import numpy as np
import pytest
import torch

from genus.data.noise import Addressed

CPU = torch.device("cpu")


def splitmix(position: int, seed: int) -> int:
    """SplitMix64 in Python's unbounded integers, after Steele, Lea and Flood."""
    z = (position * 0x9E3779B97F4A7C15 + seed) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("seed", [0, 1234567, 2**63 - 1])
def test_noise_equals_the_published_generator(seed):
    drawn = Addressed(seed, torch.tensor([3, 0, 70_000]), CPU).uniform(5)
    for row, index in enumerate((3, 0, 70_000)):
        for j in range(5):
            assert drawn[row, j] == (splitmix(index * 5 + j + 1, seed) >> 40) * 2.0**-24


def test_noise_depends_on_the_index_alone():
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    whole = Addressed(7, torch.arange(1000), CPU).uniform(13)
    assert torch.equal(Addressed(7, order, CPU).uniform(13), whole[order])
    assert not torch.equal(Addressed(8, order, CPU).uniform(13), whole[order])


def test_noise_is_uniform_and_uncorrelated():
    x = Addressed(3, torch.arange(2000), CPU).uniform(50).double().numpy()
    counts = np.histogram(x, bins=64, range=(0, 1))[0]
    expected = x.size / 64
    # χ² with 63 degrees of freedom exceeds 115 with probability 6e-5
    assert ((counts - expected) ** 2 / expected).sum() < 115
    # correlations have deviation 1/√n; 5 of these happen once in 1.7e6, three of them checked
    for a, b in ((x[:, :-1], x[:, 1:]), (x[:-1], x[1:]), (x[:1000], x[1000:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)
