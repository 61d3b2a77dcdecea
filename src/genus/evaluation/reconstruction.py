"""How much of a datum survives its code."""

import torch

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.evaluation.batches import row_batches
from genus.evaluation.figure import Figure, mean_figure
from genus.evaluation.likelihood import conditions
from genus.evaluation.units import has_units, mean_datum, to_units
from genus.model import Encodes, Model

__all__ = ["reconstruction_error", "reconstruction_floor"]


@torch.no_grad()
def reconstruction_error(
    model: Model, data: Dataset, *, n: int = 1000, batch_size: int = 250
) -> Figure | None:
    """The mean squared error per dimension of ``decode(encode(x))`` on the test set.

    In the unit of the data set (pictures on [0, 1]). A better figure is no better model: a
    wider code reconstructs better. None for a model that does not encode, or data without units.

    Raises:
        ValueError: where a count is not positive.
    """
    check_count("n", n)
    if not isinstance(model, Encodes) or not has_units(data):
        return None
    x = data.materialise("test", n)
    labels = conditions(model, data, "test", len(x))
    errors = []
    for rows in row_batches(len(x), batch_size):
        seen = model.reconstruct(x[rows], condition=None if labels is None else labels[rows])
        difference = to_units(data, seen) - to_units(data, x[rows])
        errors.append(difference.square().flatten(1).mean(1))
    return mean_figure(torch.cat(errors))


@torch.no_grad()
def reconstruction_floor(data: Dataset, *, n: int = 1000) -> Figure | None:
    """The error of answering with the mean training datum, whatever was shown."""
    check_count("n", n)
    if not has_units(data):
        return None
    x = to_units(data, data.materialise("test", n))
    return mean_figure((x - mean_datum(data)).square().flatten(1).mean(1))
