"""What a model's code knows of the labels, though it never saw them.

Two classifiers read the codes of training data and are judged on those of test data: logistic
regression on standardised codes, which finds what a plane can separate, and the vote of the
nearest neighbours in the code as it is, which finds what lies together. Both are judged on the
same examples, and on the data themselves as the floor; standard errors are those of the test
examples alone.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.evaluation.figure import Figure, mean_figure
from genus.evaluation.units import has_units, to_units
from genus.model import Encodes, Model

__all__ = ["neighbour_accuracy", "neighbour_floor", "probe_accuracy", "probe_floor"]

NUM_NEIGHBOURS = 5


@torch.no_grad()
def probe_accuracy(
    model: Model, data: Dataset, *, num_train: int = 5000, num_test: int = 2000
) -> Figure | None:
    """The test accuracy of logistic regression on ``encode(x)``, fitted to training codes.

    None for a model that does not encode or that is told the label, and for unlabelled data.

    Raises:
        ValueError: where a count is not positive, or a code is not finite.
    """
    return _of_codes(model, data, num_train, num_test, _logistic())


@torch.no_grad()
def probe_floor(data: Dataset, *, num_train: int = 5000, num_test: int = 2000) -> Figure | None:
    """The same accuracy on the data themselves."""
    return _of_data(data, num_train, num_test, _logistic())


@torch.no_grad()
def neighbour_accuracy(
    model: Model,
    data: Dataset,
    *,
    num_train: int = 5000,
    num_test: int = 2000,
    num_neighbours: int = NUM_NEIGHBOURS,
) -> Figure | None:
    """The test accuracy of a vote of the nearest training codes, by Euclidean distance.

    None where :func:`probe_accuracy` is None.

    Raises:
        ValueError: where a count is not positive, there are fewer training examples than
            neighbours, or a code is not finite.
    """
    return _of_codes(model, data, num_train, num_test, _vote(num_neighbours))


@torch.no_grad()
def neighbour_floor(
    data: Dataset,
    *,
    num_train: int = 5000,
    num_test: int = 2000,
    num_neighbours: int = NUM_NEIGHBOURS,
) -> Figure | None:
    """The same accuracy on the data themselves."""
    return _of_data(data, num_train, num_test, _vote(num_neighbours))


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))


def _vote(num_neighbours: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    check_count("num_neighbours", num_neighbours)
    return KNeighborsClassifier(num_neighbours, algorithm="brute")


def _of_codes(
    model: Model, data: Dataset, num_train: int, num_test: int, classifier: Any
) -> Figure | None:
    if not isinstance(model, Encodes) or model.condition is not None:
        return None

    def encode(x: Tensor) -> Tensor:
        return torch.cat([model.encode(rows).flatten(1).cpu() for rows in x.split(500)])

    return _accuracy(data, num_train, num_test, encode, classifier)


def _of_data(data: Dataset, num_train: int, num_test: int, classifier: Any) -> Figure | None:
    if not has_units(data):
        return None
    return _accuracy(data, num_train, num_test, lambda x: to_units(data, x).flatten(1), classifier)


def _accuracy(
    data: Dataset,
    num_train: int,
    num_test: int,
    encode: Callable[[Tensor], Tensor],
    classifier: Any,
) -> Figure | None:
    check_count("num_train", num_train)
    check_count("num_test", num_test)
    train, test = data.labels("train"), data.labels("test")
    if train is None or test is None:
        return None
    train_codes = _finite(encode(data.materialise("train", min(num_train, len(train)))))
    test_codes = _finite(encode(data.materialise("test", min(num_test, len(test)))))
    known, truth = train[: len(train_codes)].numpy(), test[: len(test_codes)].numpy()
    if len(set(known.tolist())) < 2:
        return None
    wanted = getattr(classifier, "n_neighbors", 1)
    if wanted > len(known):
        raise ValueError(f"num_neighbours is {wanted}, but only {len(known)} examples are known")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(train_codes.double().numpy(), known)
    right = classifier.predict(test_codes.double().numpy()) == truth
    return mean_figure(torch.from_numpy(right))


def _finite(codes: Tensor) -> Tensor:
    if not bool(torch.isfinite(codes).all()):
        raise ValueError("a code is NaN or infinite; the model's weights are not finite")
    return codes
