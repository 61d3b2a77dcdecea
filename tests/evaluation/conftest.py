from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from genus.data.dataset import Dataset, Part, Parts
from genus.data.steps import Floats
from genus.data.stores import InMemory
from genus.spaces import Binary, Pixels, Real, Space


def dataset(kind: str, space: Space, x: torch.Tensor, labels: torch.Tensor | None) -> Dataset:
    """A data set in memory: 60 % train, 10 % valid, 30 % test."""
    ends = [0, int(0.6 * len(x)), int(0.7 * len(x)), len(x)]
    parts = [
        Part(InMemory(x[a:b]), None if labels is None else labels[a:b]) for a, b in pairwise(ends)
    ]
    names = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    return Dataset("made up", kind, space, Parts(*parts), class_names=names)  # type: ignore[arg-type]


@pytest.fixture
def points() -> Dataset:
    """A lop-sided Gaussian in four dimensions whose label is the sign of the first."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.tensor([[3.0, 0.1, 0, 0], [1.5, 0.4, 0, 0], [0, -1.0, 0.2, 0], [0.3, 0, 2, 0.1]])
    x = torch.randn(2000, 4, generator=generator) @ mixing.T + torch.tensor([1.0, -5.0, 0.0, 2.0])
    labels = (x[:, 0] > 1.0).long()
    return dataset("table", Real((4,)), x, labels)


@pytest.fixture
def stripes() -> Dataset:
    """Pictures of 5×6 pixels and 16 levels whose label is the bright third."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 3, (1500,), generator=generator)
    x = torch.randint(0, 4, (1500, 1, 5, 6), generator=generator)
    for column in range(6):
        x[labels == column // 2, :, :, column] += 10
    return dataset("image", Pixels((1, 5, 6), 16), x.to(torch.uint8), labels)


@pytest.fixture
def bits() -> Dataset:
    """Rows of 20 uneven bits."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(300, 20, generator=generator) < torch.linspace(0.05, 0.9, 20)
    made = dataset("table", Binary((20,)), x.to(torch.uint8), None)
    return replace(made, steps=(Floats(),))


@pytest.fixture
def levels() -> Dataset:
    """Pictures of 256 levels, all of which occur."""
    generator = torch.Generator().manual_seed(7)
    x = (torch.randn(4000, 1, 3, 2, generator=generator) * 40 + 120).clamp(0, 255)
    return dataset("image", Pixels((1, 3, 2), 256), x.to(torch.uint8), None)
