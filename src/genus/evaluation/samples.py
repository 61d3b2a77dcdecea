"""How far a model's samples are from real data, beside how far real data are from themselves."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.seeding import seeded
from genus.evaluation.energy_distance import energy_distance
from genus.evaluation.feature_network import Features
from genus.evaluation.figure import Figure
from genus.evaluation.frechet import Moments, frechet_figure
from genus.evaluation.modes import Modes, find_modes
from genus.evaluation.neighbours import Manifold, manifold, nearest
from genus.evaluation.units import samples_to_units, to_units
from genus.spaces import Binary, Pixels

__all__ = ["Quality", "Reference", "nearest_real", "sample_quality"]

MOST_MANIFOLD = 2048
MOST_REFERENCE = 10_000


@dataclass(frozen=True)
class Quality:
    """Figures of samples, each beside that of as many real, held-out data.

    Attributes:
        fid: Fréchet distance of the features from those of the test set.
        fid_floor: the same of real training data.
        manifold: precision, recall, density and coverage in the features.
        manifold_floor: the same of real training data.
        energy_distance: for points of a few dimensions, in their own unit; else None.
        energy_floor: the same of real training data.
        modes: of a toy whose modes are known; else None.
        modes_floor: the same of real training data.
        feature_network: what the features are.
        feature_accuracy: of the classifier behind them, where there is one.
    """

    fid: Figure
    fid_floor: Figure
    manifold: Manifold
    manifold_floor: Manifold
    energy_distance: float | None
    energy_floor: float | None
    modes: Modes | None
    modes_floor: Modes | None
    feature_network: str
    feature_accuracy: float | None


class Reference:
    """The real data of one view: the test set to compare with, training data for the floor.

    Args:
        data: the view that samples are judged in, beside real data seen alike.
        features: fitted to the data set.
    """

    def __init__(self, data: Dataset, features: Features) -> None:
        self.data, self.learnt, self.features = data, data, features
        self.tossed = False
        base = data.base
        most = min(MOST_REFERENCE, base.test.num_examples)
        self.test = to_units(base, base.materialise("test", most))
        count = min(MOST_REFERENCE, base.train.num_examples)
        self.train = to_units(base, base.materialise("train", count))
        self.test_features = features(self.test)
        self.train_features = features(self.train)
        self.moments = Moments.of(self.test_features)

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


def sample_quality(samples: Tensor, reference: Reference, *, seed: int = 0) -> Quality:
    """Compares samples (as the model drew them) with real data.

    The floor is that of as many real training data; where the training set is smaller than the
    samples, of all of it.
    """
    drawn = reference.units(samples)
    seen = reference.features(drawn)
    real = reference.train_features[: len(seen)]
    near = min(MOST_MANIFOLD, len(seen), len(reference.test_features))
    test = reference.test_features[:near]
    flat_test, flat_train = reference.test.flatten(1), reference.train.flatten(1)
    few = flat_test.shape[1] <= 16
    return Quality(
        fid=frechet_figure(seen, reference.moments, seed=seed, warn=False),
        fid_floor=frechet_figure(real, reference.moments, seed=seed, warn=False),
        manifold=manifold(test, seen[:near]),
        manifold_floor=manifold(test, real[:near]),
        energy_distance=energy_distance(drawn.flatten(1), flat_test) if few else None,
        energy_floor=energy_distance(flat_train[: len(drawn)], flat_test) if few else None,
        modes=_modes(reference.data, drawn),
        modes_floor=_modes(reference.data, reference.train[: len(drawn)]),
        feature_network=reference.features.name,
        feature_accuracy=reference.features.accuracy,
    )


def _modes(data: Dataset, points: Tensor) -> Modes | None:
    truth = data.truth
    if truth is None or truth.standard_deviation is None or not len(truth.modes):
        return None
    return find_modes(points.flatten(1), truth.modes.flatten(1), truth.standard_deviation)


def nearest_real(samples: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
    """The nearest training datum of every sample, in the unit of the data set, and how far."""
    drawn = reference.units(samples).flatten(1)
    distance, index = nearest(drawn, reference.train.flatten(1))
    return reference.train[index[:, 0]], distance[:, 0] / drawn.shape[1] ** 0.5
