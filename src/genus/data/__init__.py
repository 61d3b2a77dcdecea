"""Data sets: named ones, toys with known truth, and the user's own by path."""

from genus.data.arrays import from_array
from genus.data.dataset import Dataset
from genus.data.loading import load, names
from genus.data.stacked import stacked_mnist
from genus.data.toys import bars_and_stripes, gaussians_25, ring, two_moons
from genus.data.truth import Truth

__all__ = [
    "Dataset",
    "Truth",
    "bars_and_stripes",
    "from_array",
    "gaussians_25",
    "load",
    "names",
    "ring",
    "stacked_mnist",
    "two_moons",
]
