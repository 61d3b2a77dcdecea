"""The classification accuracy score: what a classifier learns from samples alone."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from genus.engine.seeding import address, seeded
from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.evaluation.linear_classifier import predicted_classes
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["ClassificationAccuracy", "Learner", "classification_accuracy"]

Learner = Literal["linear", "network"]
STEPS, BATCH_SIZE = 300, 128


@dataclass(frozen=True)
class ClassificationAccuracy:
    """Accuracy on real test data of a classifier that learnt samples, beside one of real data.

    Attributes:
        samples: of the classifier that saw samples and the conditions they were drawn under.
        real: of the one that saw real training data; None where none were given.
        missing: classes of the test data that no sample has.
    """

    samples: Figure
    real: Figure | None
    missing: tuple[int, ...]


def classification_accuracy(
    samples: Float[Tensor, "sample *shape"],
    sample_labels: Int[Tensor, " sample"],
    test: Float[Tensor, "test *shape"],
    test_labels: Int[Tensor, " test"],
    *,
    real: Float[Tensor, "real *shape"] | None = None,
    real_labels: Int[Tensor, " real"] | None = None,
    classifier: Learner = "linear",
    seed: int = 0,
) -> ClassificationAccuracy:
    """Trains on labelled samples only and tests on real data (Ravuri & Vinyals 2019).

    The interval is that of the choice of test data; the chance of training is not in it.

    Args:
        samples: features or images of a conditional model.
        sample_labels: the classes that they were drawn under.
        test: real data, in the same features.
        test_labels: their classes.
        real: real training data for the floor; as many as samples make a fair one.
        real_labels: their classes.
        classifier: "linear", logistic regression on the flattened data; "network", two
            convolutions and a layer, 300 steps of 128, for images of shape
            ``(n, channel, height, width)``.
        seed: of the network.

    Raises:
        ValueError: for an empty set, NaN, labels that do not match, or shapes that differ.
    """
    _check(samples, sample_labels, "samples")
    _check(test, test_labels, "test")
    check_alike(samples, test, "samples and test")
    if (real is None) != (real_labels is None):
        raise ValueError("real and real_labels belong together, got only one of them")
    if classifier not in ("linear", "network"):
        raise ValueError(f'classifier must be "linear" or "network", got {classifier!r}')
    if classifier == "network" and samples.ndim != 4:
        raise ValueError(
            "the network needs images of shape (sample, channel, height, width), got "
            f'{tuple(samples.shape)}; take classifier="linear" for features'
        )
    known = set(test_labels.tolist())
    missing = tuple(sorted(known - set(sample_labels.tolist())))
    floor = None
    if real is not None and real_labels is not None:
        _check(real, real_labels, "real")
        check_alike(real, test, "real and test")
        floor = _accuracy(real, real_labels, test, test_labels, classifier, seed)
    figure = _accuracy(samples, sample_labels, test, test_labels, classifier, seed)
    return ClassificationAccuracy(figure, floor, missing)


def _check(x: Tensor, labels: Tensor, name: str) -> None:
    check_rows(x.flatten(1), name)
    if labels.shape != (len(x),) or labels.is_floating_point():
        raise ValueError(
            f"labels of {name} must be {len(x)} whole numbers, one for each, got shape "
            f"{tuple(labels.shape)} of {labels.dtype}"
        )


def _accuracy(
    x: Tensor, labels: Tensor, test: Tensor, truth: Tensor, classifier: Learner, seed: int
) -> Figure:
    if classifier == "network":
        answers = _network_answers(x, labels, test, seed)
    else:
        answers = predicted_classes(x.flatten(1), labels, test.flatten(1))
    note = f"{classifier} classifier, learnt {len(x)} data; the chance of its training is not in it"
    return bootstrapped_mean((answers == truth).double(), "~", note, seed=seed)


@torch.enable_grad()
def _network_answers(x: Tensor, labels: Tensor, test: Tensor, seed: int) -> Tensor:
    classes = int(labels.max()) + 1
    with seeded(address(seed, "classification accuracy"), torch.device("cpu")):
        network = _network(x.shape[1], classes)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS)
        for _ in range(STEPS):
            rows = torch.randint(0, len(x), (BATCH_SIZE,))
            loss = F.cross_entropy(network(x[rows].float()), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        return torch.cat([network(rows.float()).argmax(1) for rows in test.split(500)])


def _network(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, classes),
    )
