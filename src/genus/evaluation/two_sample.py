"""The classifier two-sample test: can anything tell samples from data? (Lopez-Paz & Oquab 2017)."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.evaluation.linear_classifier import predicted_classes
from genus.evaluation.neighbours import nearest
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["TwoSample", "two_sample_test"]


@dataclass(frozen=True)
class TwoSample:
    """How well a classifier tells held-out samples from held-out data.

    Attributes:
        accuracy: its share of right answers: 0.5 for equal distributions, 1 where the sets are
            told apart without fault.
        p_value: how often fair coins would be right at least as often (exact binomial tail).
    """

    accuracy: Figure
    p_value: float


def two_sample_test(
    samples: Float[Tensor, "sample feature"],
    real: Float[Tensor, "real feature"],
    *,
    classifier: Literal["linear", "neighbours"] = "linear",
    seed: int = 0,
) -> TwoSample:
    """Trains a classifier on one half of both sets and asks it about the other.

    The larger set is cut at random to the size of the smaller, so that guessing is right half of
    the time. A classifier that fails to find a difference does not prove that there is none.

    Args:
        samples: features of samples.
        real: features of real data that the model has not learnt.
        classifier: "linear", logistic regression, which sees differences of means; "neighbours",
            a vote of the √n nearest, which sees any but needs more data.
        seed: of the halves.

    Raises:
        ValueError: for fewer than 4 rows a side, NaN, or different features.
    """
    x, y = check_rows(samples, "samples", least=4), check_rows(real, "real", least=4)
    check_alike(x, y, "samples and real")
    size = min(len(x), len(y))
    generator = torch.Generator().manual_seed(seed)
    x, y = (z[torch.randperm(len(z), generator=generator)[:size]].double() for z in (x, y))
    half = size // 2
    learnt, asked = torch.cat([x[:half], y[:half]]), torch.cat([x[half:], y[half:]])
    labels = torch.arange(2).repeat_interleave(half)
    truth = torch.arange(2).repeat_interleave(size - half)
    if classifier == "linear":
        answers = predicted_classes(learnt, labels, asked)
    elif classifier == "neighbours":
        answers = _vote(learnt, labels, asked)
    else:
        raise ValueError(f'classifier must be "linear" or "neighbours", got {classifier!r}')
    right = answers == truth
    note = f"{classifier} classifier on {2 * half} rows"
    figure = bootstrapped_mean(right.double(), "~", note, seed=seed)
    return TwoSample(figure, _tail(int(right.sum()), len(right)))


def _vote(learnt: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """The majority among an odd number of about √n neighbours, features standardised."""
    spread = learnt.std(0)
    scale = torch.where(spread > 0, spread, 1.0)
    count = min(2 * (int(len(learnt) ** 0.5) // 2) + 1, len(learnt))
    index = nearest(asked / scale, learnt / scale, count)[1]
    return (labels[index].double().mean(1) > 0.5).long()


def _tail(right: int, asked: int) -> float:
    from scipy.stats import binom

    return float(binom.sf(right - 1, asked, 0.5))
