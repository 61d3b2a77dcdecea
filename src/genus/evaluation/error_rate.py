"""How often a model that tells labels apart is wrong."""

import torch

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.model import Classifies, Model

__all__ = ["NUM_DRAWS", "OVER_DRAWS", "error_rate", "error_rate_floor"]

ROWS = 500
NUM_DRAWS = 10
OVER_DRAWS = f"error_rate, mean of {NUM_DRAWS} draws"
"""The name of that figure in a record."""
NOTE = "by the most probable label"
AVERAGED = "by the label most probable on average over {} draws of each test datum"


@torch.no_grad()
def error_rate(
    model: Model, data: Dataset, *, n: int | None = None, num_draws: int = 1, seed: int = 0
) -> Figure | None:
    """The share of test data whose label is not the most probable one, 0 to 1.

    Bits drawn from a grey picture are a noisy sight of it. With several draws of each the answer
    is the label most probable on average over them, which leaves less to the noise and is nearer
    to the figure of a model that takes the grey levels themselves.

    Its interval is that of the choice of test data. None for a model that does not classify or
    knows no labels, and for data without them.

    Args:
        model: over the space of ``data``.
        data: the test part is judged.
        n: the first n examples; all of them by default.
        num_draws: of each test datum; data that are not drawn anew in training have one.
        seed: of the bootstrap.

    Raises:
        ValueError: where ``num_draws`` is no positive integer.
    """
    labels, count = data.labels("test"), check_count("num_draws", num_draws)
    count = count if data.is_drawn else 1
    if not isinstance(model, Classifies) or model.condition is None or labels is None:
        return None
    total = torch.zeros(())
    for draw in range(count):
        x = data.redrawn(draw).materialise("test", n)
        total = total + torch.cat([model.classify(rows).cpu() for rows in x.split(ROWS)])
    wrong = (total.argmax(1) != labels[: len(total)]).double()
    note = NOTE if count == 1 else AVERAGED.format(count)
    return bootstrapped_mean(wrong, "=", note, seed=seed)


def error_rate_floor(data: Dataset, *, n: int | None = None, seed: int = 0) -> Figure | None:
    """The same of the most frequent training label, whatever the datum."""
    train, test = data.labels("train"), data.labels("test")
    if train is None or test is None:
        return None
    wrong = test[:n] != train.mode().values
    return bootstrapped_mean(wrong.double(), "=", "the most frequent label", seed=seed)
