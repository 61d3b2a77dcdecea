"""What a model's code knows of the labels, though it never saw them."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from genus.data import Dataset
from genus.evaluation.figure import Figure, mean_figure
from genus.evaluation.units import has_units, to_units
from genus.model import Encodes, Model

__all__ = ["probe_accuracy", "probe_floor"]


@torch.no_grad()
def probe_accuracy(
    model: Model, data: Dataset, *, num_train: int = 5000, num_test: int = 2000
) -> Figure | None:
    """The test accuracy of logistic regression on ``encode(x)``, fitted to training codes.

    None for a model that does not encode or that is told the label, and for unlabelled data.
    """
    if not isinstance(model, Encodes) or model.condition is not None:
        return None
    return _probe(data, num_train, num_test, lambda x: _encode(model, x))


@torch.no_grad()
def probe_floor(data: Dataset, *, num_train: int = 5000, num_test: int = 2000) -> Figure | None:
    """The same accuracy on the data themselves."""
    if not has_units(data):
        return None
    return _probe(data, num_train, num_test, lambda x: to_units(data, x).flatten(1))


def _encode(model: Encodes, x: Tensor) -> Tensor:
    return torch.cat([model.encode(rows).flatten(1).cpu() for rows in x.split(500)])


def _probe(
    data: Dataset, num_train: int, num_test: int, encode: Callable[[Tensor], Tensor]
) -> Figure | None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = data.labels("train"), data.labels("test")
    if train is None or test is None:
        return None
    train_codes = encode(data.materialise("train", min(num_train, len(train))))
    test_codes = encode(data.materialise("test", min(num_test, len(test))))
    known, truth = train[: len(train_codes)].numpy(), test[: len(test_codes)].numpy()
    if len(set(known.tolist())) < 2:
        return None
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(train_codes.double().numpy(), known)
    right = classifier.predict(test_codes.double().numpy()) == truth
    return mean_figure(torch.from_numpy(right))
