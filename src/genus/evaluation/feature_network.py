"""The features in which samples are compared with real data, and where they come from."""

import hashlib
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genus.data import Dataset
from genus.engine import checkpoint
from genus.engine.seeding import address, seeded
from genus.evaluation.units import has_units, to_units

__all__ = ["Classifier", "Features", "PrincipalAxes", "RawFeatures", "choose_features"]

LARGEST_SIDE = 64
FEWEST_EXAMPLES = 1000
STEPS, BATCH_SIZE = 500, 128
DIGESTED = 512


class Features(ABC):
    """A map from data, in the unit of the data set, to features.

    Attributes:
        name: what a report calls it.
        accuracy: of the classifier that the features were learnt by, on test data; or None.
    """

    name: str
    accuracy: float | None = None

    @abstractmethod
    def _features(self, x: Tensor) -> Float[Tensor, "batch feature"]:
        """Features of one block."""

    @final
    @torch.no_grad()
    def __call__(self, x: Tensor, *, block: int = 512) -> Float[Tensor, "batch feature"]:
        """The features of data in the unit of the data set, shape ``(n, *shape)``."""
        return torch.cat([self._features(rows) for rows in x.split(block)])


class RawFeatures(Features):
    """The numbers themselves, each divided by its spread in the training data."""

    def __init__(self, train: Tensor) -> None:
        flat = train.flatten(1)
        self.mean, spread = flat.mean(0), flat.std(0)
        self.scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        self.name = f"the {flat.shape[1]} numbers themselves, standardised"

    def _features(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) / self.scale


class PrincipalAxes(Features):
    """The leading principal components of the training data, in their own unit."""

    def __init__(self, train: Tensor, num_components: int = 64) -> None:
        flat = train.flatten(1).double()
        self.mean = flat.mean(0)
        covariance = torch.cov(flat.T)
        vectors = torch.linalg.eigh(covariance).eigenvectors
        count = min(num_components, flat.shape[1])
        self.axes = vectors[:, -count:].flip(1)
        self.name = f"{count} principal components of the training pixels"

    def _features(self, x: Tensor) -> Tensor:
        return ((x.flatten(1).double() - self.mean) @ self.axes).float()


class _Network(nn.Module):
    """Three convolutions and a layer of 128 features, each whitened by batch statistics."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        sides = [math.ceil(math.ceil(side / 2) / 2) for side in (height, width)]
        self.body = nn.Sequential(
            nn.Conv2d(channels, 24, 5, stride=2, padding=2),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(48 * sides[0] * sides[1], 128),
            nn.BatchNorm1d(128),
        )
        self.top = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(F.relu(self.body(x)))


class Classifier(Features):
    """The last hidden layer of a small classifier, trained on the training split.

    One network serves all views of a set of grey pictures: half of the pictures it learns from
    are binarised at random, so that binary samples are as familiar to it as grey ones.

    Args:
        network: trained.
        name: of the data that it learnt.
        accuracy: on test pictures.
    """

    def __init__(self, network: _Network, name: str, accuracy: float) -> None:
        self.network = network.eval()
        self.accuracy = accuracy
        self.name = f"128 features of a small classifier of {name} ({accuracy:.2%} on test)"

    def _features(self, x: Tensor) -> Tensor:
        return self.network.body(x)


def choose_features(data: Dataset, *, seed: int = 0, folder: Path | None = None) -> Features | None:
    """The features that suit a data set; None for data that have no unit.

    Labelled pictures of at most 64×64 get a classifier of their own, which takes some ten
    seconds once; other pictures their principal components; other numbers are features already.

    Args:
        data: in its finest view (levels rather than bits).
        seed: of the classifier.
        folder: where a trained classifier is kept and found again.
    """
    if not has_units(data):
        return None
    shape = data.space.shape
    picture = data.kind == "image" and len(shape) == 3
    labels = data.labels("train")
    enough = labels is not None and len(labels) >= FEWEST_EXAMPLES
    if picture and enough and (data.num_classes or 0) > 1 and max(shape[1:]) <= LARGEST_SIDE:
        return _classifier(data, seed, folder)
    train = to_units(data, data.materialise("train", min(5000, data.train.num_examples)))
    return PrincipalAxes(train) if picture else RawFeatures(train)


def _classifier(data: Dataset, seed: int, folder: Path | None) -> Classifier:
    """The stored classifier of these data and this seed, or a new one."""
    channels, height, width = data.space.shape
    described = {
        "data": data.name,
        "examples": data.train.num_examples,
        "space": data.space.to_config(),
        "classes": data.num_classes,
        "content": _digest(data),
        "seed": seed,
        "steps": STEPS,
    }
    with seeded(address(seed, "feature network"), torch.device("cpu")):
        network = _Network((channels, height, width), data.num_classes or 0)
        path = None if folder is None else folder / "feature_network.safetensors"
        if path is not None and path.exists():
            tensors, metadata = checkpoint.read_tensors(path)
            if metadata["described"] == described:
                network.load_state_dict(tensors)
                return Classifier(network, data.name, metadata["accuracy"])
        accuracy = _train(network, data)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"described": described, "accuracy": accuracy}
        checkpoint.write_tensors(path, dict(network.state_dict()), metadata)
    return Classifier(network, data.name, accuracy)


def _digest(data: Dataset) -> str:
    """Of the first examples and of all labels: a folder that was edited is another data set."""
    content = hashlib.blake2b(digest_size=16)
    for split in ("train", "test"):
        content.update(data.materialise(split, DIGESTED).cpu().contiguous().numpy().tobytes())
        labels = data.labels(split)
        if labels is not None:
            content.update(labels.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


@torch.enable_grad()
def _train(network: _Network, data: Dataset) -> float:
    """Trains for a fixed number of steps and returns the accuracy on test data."""
    labels, truth = data.labels("train"), data.labels("test")
    assert labels is not None and truth is not None  # noqa: PT018 - choose_features has looked
    x = to_units(data, data.materialise("train"))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=STEPS)
    network.train()
    for _ in range(STEPS):
        rows = torch.randint(0, len(x), (BATCH_SIZE,))
        batch = _half_binarised(x[rows])
        loss = F.cross_entropy(network(batch), labels[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    test = to_units(data, data.materialise("test"))
    with torch.no_grad():
        predicted = torch.cat([network(rows).argmax(1) for rows in test.split(500)])
    return float((predicted == truth[: len(predicted)]).double().mean())


def _half_binarised(x: Tensor) -> Tensor:
    """Every second grey picture as a draw of black and white; colours stay as they are."""
    if x.shape[1] != 1:
        return x
    drawn = x.clone()
    drawn[::2] = torch.bernoulli(x[::2])
    return drawn
