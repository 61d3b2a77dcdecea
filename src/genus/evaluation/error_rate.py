"""How often a model that tells labels apart is wrong."""

import torch

from genus.data import Dataset
from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.model import Classifies, Model

__all__ = ["error_rate", "error_rate_floor"]

ROWS = 500
NOTE = "by the most probable label"


@torch.no_grad()
def error_rate(
    model: Model, data: Dataset, *, n: int | None = None, seed: int = 0
) -> Figure | None:
    """The share of test data whose label is not the most probable one, 0 to 1.

    Its interval is that of the choice of test data. None for a model that does not classify or
    knows no labels, and for data without them.

    Args:
        model: over the space of ``data``.
        data: the test part is judged.
        n: the first n examples; all of them by default.
        seed: of the bootstrap.
    """
    labels = data.labels("test")
    if not isinstance(model, Classifies) or model.condition is None or labels is None:
        return None
    x = data.materialise("test", n)
    answers = torch.cat([model.classify(rows).argmax(1).cpu() for rows in x.split(ROWS)])
    return bootstrapped_mean((answers != labels[: len(x)]).double(), "=", NOTE, seed=seed)


def error_rate_floor(data: Dataset, *, n: int | None = None, seed: int = 0) -> Figure | None:
    """The same of the most frequent training label, whatever the datum."""
    train, test = data.labels("train"), data.labels("test")
    if train is None or test is None:
        return None
    wrong = test[:n] != train.mode().values
    return bootstrapped_mean(wrong.double(), "=", "the most frequent label", seed=seed)
