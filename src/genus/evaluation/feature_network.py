"""The features in which samples are compared with real data, and where they come from."""

import hashlib
import math
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.data import Dataset
from genus.engine import checkpoint
from genus.engine.seeding import address, seeded
from genus.evaluation import inception
from genus.evaluation.digit_classifier import DigitClassifier, StackedDigits
from genus.evaluation.feature_map import Classifies, Features, PrincipalAxes, RawFeatures
from genus.evaluation.given_network import GivenNetwork
from genus.evaluation.resizing import Resizing
from genus.evaluation.units import has_units, to_units

__all__ = [
    "CHOICES",
    "Choice",
    "Classifier",
    "Classifies",
    "Features",
    "PrincipalAxes",
    "RawFeatures",
    "choose_features",
    "features_for",
]

Choice = Literal["auto", "inception", "digits", "classifier", "pixels"]

CHOICES: tuple[Choice, ...] = get_args(Choice)
"""The names that :func:`features_for` knows."""

LARGEST_SIDE = 64
SMALLEST_SIDE = 28
FEWEST_EXAMPLES = 1000
STEPS, BATCH_SIZE = 500, 128
DIGESTED = 512
DIGITS = (1, 28, 28)
MOST_NUMBERS = 100_000_000


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


class Classifier(Classifies):
    """The last hidden layer of a small classifier, trained on the training split.

    One network serves all views of a set of grey pictures: half of the pictures it learns from
    are binarised at random, so that binary samples are as familiar to it as grey ones.

    Args:
        network: trained.
        data: that it learnt.
        accuracy: on test pictures.
        device: where it computes.
    """

    kind = "classifier"

    def __init__(
        self,
        network: _Network,
        data: Dataset,
        accuracy: float,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.accuracy = accuracy
        self.shape = data.space.shape
        self.num_classes = data.num_classes
        self.name = f"128 features of a small classifier of {data.name} ({accuracy:.2%} on test)"

    def _features(self, x: Tensor) -> Tensor:
        return self.network.body(x)

    def _logits(self, features: Tensor) -> Tensor:
        return self.network.top(F.relu(features))


def features_for(
    data: Dataset,
    choice: Choice | Path = "auto",
    *,
    resizing: Resizing = "tf",
    seed: int = 0,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Features | None:
    """The features to compare samples with data in, and where they come from in their name.

    Args:
        data: in its finest view (levels rather than bits).
        choice: a path: a TorchScript network (see ``GivenNetwork``); "inception": the network
            of the standard FID; "digits": the embedded classifier of digits, for grey 28×28
            pictures; "classifier": one trained on these data; "pixels": principal axes of
            pictures, other numbers as they are; "auto": Inception for pictures of at least
            28×28 where its weights are installed, otherwise what :func:`choose_features` takes.
        resizing: "tf", "torch" or "clean", of Inception.
        seed: of a classifier that is trained.
        folder: where a trained classifier is kept and found again.
        device: where the features are computed.

    Returns:
        The features; None for "auto" and data that have no unit.

    Raises:
        ValueError: where the data or this installation do not suit the choice.
    """
    if isinstance(choice, str) and choice not in CHOICES:
        raise ValueError(f"choice must be a Path or one of {', '.join(CHOICES)}, got {choice!r}")
    if not has_units(data):
        if choice == "auto":
            return None
        raise ValueError(f"{data.name} has no unit in which features could be measured")
    if choice == "pixels":
        return _plain(data)
    if choice == "auto":
        large = _is_picture(data) and min(data.space.shape[1:]) >= SMALLEST_SIDE
        if large and inception.is_installed() and data.space.shape[0] in (1, 3):
            return inception.InceptionFeatures(resizing, device)
        return choose_features(data, seed=seed, folder=folder, device=device)
    if not _is_picture(data):
        raise ValueError(f"{choice} features are of pictures, {data.name} has {data.space}")
    if choice == "inception":
        return inception.InceptionFeatures(resizing, device)
    if choice == "digits":
        if _is_stacked(data):
            return StackedDigits(data.space.shape[0], device)
        if data.space.shape != DIGITS:
            raise ValueError(f"digits features are of grey 28×28 pictures, got {data.space}")
        return DigitClassifier(device)
    if choice == "classifier":
        if not _is_learnable(data):
            raise ValueError(
                f"a classifier needs pictures of at most {LARGEST_SIDE}×{LARGEST_SIDE} with at "
                f"least {FEWEST_EXAMPLES} labels of two classes or more; choose 'pixels'"
            )
        return _classifier(data, seed, folder, device)
    return GivenNetwork(Path(choice), to_units(data, data.materialise("train", 2)), device)


def choose_features(
    data: Dataset,
    *,
    seed: int = 0,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Features | None:
    """The cheap features that suit a data set; None for data that have no unit.

    MNIST, and grey 28×28 pictures without labels, are seen by the embedded classifier of
    digits, stacked MNIST by the same in each channel. Other labelled pictures of at most 64×64
    get a classifier of their own, which takes some ten seconds once; other pictures their
    principal components; other numbers are features already.

    Args:
        data: in its finest view (levels rather than bits).
        seed: of a classifier that is trained.
        folder: where a trained classifier is kept and found again.
        device: where the features are computed.
    """
    if not has_units(data):
        return None
    if _is_picture(data):
        if _is_stacked(data):
            return StackedDigits(data.space.shape[0], device)
        learnable = _is_learnable(data)
        if data.space.shape == DIGITS and (data.name == "mnist" or not learnable):
            return DigitClassifier(device)
        if learnable:
            return _classifier(data, seed, folder, device)
    return _plain(data)


def _is_picture(data: Dataset) -> bool:
    return data.kind == "image" and len(data.space.shape) == 3


def _is_stacked(data: Dataset) -> bool:
    """Whether the channels are digits that together name a mode."""
    return data.truth is not None and data.truth.digits == data.space.shape[0]


def _is_learnable(data: Dataset) -> bool:
    """Whether a classifier of these pictures can be trained in some seconds."""
    labels = data.labels("train")
    enough = labels is not None and len(labels) >= FEWEST_EXAMPLES
    return enough and data.num_classes > 1 and max(data.space.shape[1:]) <= LARGEST_SIDE


def _plain(data: Dataset) -> PrincipalAxes | RawFeatures:
    """Features that are found without learning."""
    fitting = max(2, MOST_NUMBERS // data.space.num_dimensions)
    count = min(5000, fitting, data.train.num_examples)
    train = to_units(data, data.materialise("train", count))
    return PrincipalAxes(train) if _is_picture(data) else RawFeatures(train)


def _classifier(
    data: Dataset, seed: int, folder: Path | None, device: torch.device | str
) -> Classifier:
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
                return Classifier(network, data, metadata["accuracy"], device)
        accuracy = _train(network, data)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"described": described, "accuracy": accuracy}
        checkpoint.write_tensors(path, dict(network.state_dict()), metadata)
    return Classifier(network, data, accuracy, device)


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
