"""The real data that samples are judged beside, seen once through one feature network."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from genus.data import Dataset
from genus.data.dataset import Split
from genus.engine.seeding import address, seeded
from genus.evaluation.blocks import unit_blocks
from genus.evaluation.feature_map import Features, Progress
from genus.evaluation.figure import Figure
from genus.evaluation.frechet import Moments
from genus.evaluation.neighbours import nearest
from genus.evaluation.units import samples_to_units, to_units
from genus.spaces import Binary, Pixels

__all__ = ["Reference", "Seen", "closest_pairs", "nearest_real"]

MOST_REFERENCE = 10_000
MOST_TEST = 50_000
MOST_REMEMBERED = 500_000_000


@dataclass(frozen=True)
class Seen:
    """A set of data as the metrics see it.

    Attributes:
        units: in the unit of the data set, shape ``(n, *shape)``.
        features: of each, shape ``(n, feature)``.
        labels: the class of each, or None; of samples: the condition they were drawn under.
    """

    units: Tensor
    features: Tensor
    labels: Tensor | None = None

    def first(self, n: int) -> "Seen":
        """The first n of them."""
        labels = None if self.labels is None else self.labels[:n]
        return Seen(self.units[:n], self.features[:n], labels)

    def __len__(self) -> int:
        return len(self.units)


class Judges(Protocol):
    """What a reference needs to know of a metric."""

    @property
    def about_training(self) -> bool:
        """Whether it compares samples with training data rather than test data."""

    @property
    def measure(self) -> Callable[[Seen, "Reference", int], dict[str, Figure]]:
        """From what was seen of samples, the real data and a seed to figures by name."""


class Reference:
    """The real data of one view: the test set to compare with, training data for the floor.

    Args:
        data: the view that samples are judged in, beside real data seen alike.
        features: fitted to the data set.
        most: test data, of which a larger set is drawn from at random.
        num_floor: training data, which stand in the place of samples; as ``most`` by default.
        progress: told how many data have been seen so far, of how many.
    """

    def __init__(
        self,
        data: Dataset,
        features: Features,
        *,
        most: int = MOST_REFERENCE,
        num_floor: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.data, self.learnt, self.features = data, data, features
        self.tossed = False
        sizes = [
            min(most, data.test.num_examples),
            min(num_floor or most, data.train.num_examples),
        ]
        total = sum(sizes)

        def told(before: int) -> Progress | None:
            return None if progress is None else (lambda done: progress(before + done, total))

        self.test = self._real("test", sizes[0], told(0))
        self.train = self._real("train", sizes[1], told(sizes[0]))
        self.moments = Moments.of(self.test.features)
        self._floors: dict[tuple[str, int, int], dict[str, Figure]] = {}

    def _real(self, split: Split, n: int, progress: Progress | None) -> Seen:
        base, labels = self.data.base, self.data.labels(split)
        x = base.materialise(split, n if split == "train" else MOST_TEST)
        rows = torch.arange(len(x))
        if split == "test":
            generator = torch.Generator().manual_seed(address(0, "reference"))
            rows = torch.randperm(len(x), generator=generator)[:n]
        units = to_units(base, x[rows])
        features = self.features(units, progress=progress)
        return Seen(units, features, None if labels is None else labels[rows])

    def floor(self, metric: "Judges", name: str, n: int, seed: int) -> dict[str, Figure]:
        """A metric of the first n real data in the place of samples; kept once it is known.

        They are training data; for a metric that compares samples with these, the second half
        of the test data.
        """
        real = self.halves()[1] if metric.about_training else self.train
        place = (name, min(n, len(real)), seed)
        if place not in self._floors:
            figures = metric.measure(real.first(n), self, seed)
            if len(real) < n:
                few = f"floor of {len(real):,} data, for want of more"
                figures = {k: replace(f, note=_joined(f.note, few)) for k, f in figures.items()}
            self._floors[place] = figures
        return self._floors[place]

    def halves(self) -> tuple[Seen, Seen]:
        """Two halves of the test data, which come in random order."""
        middle = len(self.test) // 2
        second = slice(middle, None)
        labels = None if self.test.labels is None else self.test.labels[second]
        rest = Seen(self.test.units[second], self.test.features[second], labels)
        return self.test.first(middle), rest

    @cached_property
    def remembered(self) -> Tensor:
        """Training data in their unit: all, or as many as take half a gigabyte."""
        base = self.data.base
        n = min(base.train.num_examples, MOST_REMEMBERED // (4 * base.space.num_dimensions))
        return torch.cat(list(unit_blocks(base, "train", max(n, 1))))

    def valid_units(self, n: int = 1000) -> Tensor:
        """The first validation data in their unit."""
        base = self.data.base
        return to_units(base, base.materialise("valid", n))

    def for_view(self, data: Dataset) -> "Reference":
        """The same real data for a model that learnt another view of them.

        Draws of grey levels are tossed to black and white where the real data are: both went
        the same way then, x ~ Bernoulli(level / (levels − 1)).
        """
        here, there = self.data.base.space, data.base.space
        tossed = isinstance(here, Binary) and isinstance(there, Pixels)
        if here != there and not (tossed and here.shape == there.shape):
            raise ValueError(f"draws in {there} cannot be judged beside data in {here}")
        twin = copy.copy(self)
        twin.learnt, twin.tossed = data, tossed
        return twin

    def units(self, samples: Tensor) -> Tensor:
        """Draws of the model in the unit of the data set, seen as the real data are."""
        drawn = samples_to_units(self.learnt, samples)
        if not self.tossed:
            return drawn
        with seeded(0, drawn.device):
            return (torch.rand_like(drawn) < drawn).to(drawn.dtype)

    def see(
        self, units: Tensor, labels: Tensor | None = None, progress: Progress | None = None
    ) -> Seen:
        """Samples in the unit of the data set, through the same features."""
        return Seen(units, self.features(units, progress=progress), labels)


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def closest_pairs(units: Tensor, reference: Reference, n: int = 16) -> tuple[Tensor, Tensor]:
    """The n samples nearest to a training datum, and those data: what may have been copied.

    At most 2,000 samples, in the unit of the data set, are looked at.
    """
    few = units[:2000]
    distance, index = nearest(few.flatten(1), reference.remembered.flatten(1))
    order = distance[:, 0].argsort(stable=True)[:n]
    return few[order], reference.remembered[index[order, 0]]


def nearest_real(samples: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
    """The nearest training datum of every sample, in the unit of the data set, and how far."""
    drawn = reference.units(samples).flatten(1)
    distance, index = nearest(drawn, reference.train.units.flatten(1))
    return reference.train.units[index[:, 0]], distance[:, 0] / drawn.shape[1] ** 0.5
