"""What a classifier thinks of samples: how sure, how varied, and in which classes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genus.evaluation.bootstrap import bootstrap, within
from genus.evaluation.figure import Figure
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["ClassHistogram", "class_histogram", "classifier_score"]

TOLERANCE = 1e-3


def classifier_score(
    probabilities: Float[Tensor, "sample class"], *, resamples: int = 200, seed: int = 0
) -> Figure:
    """The inception score's form for any classifier (Salimans et al. 2016).

        exp(E KL(p(y|x) ‖ p(y))),  p(y) = E p(y|x)

    1 where all samples look alike or nobody can tell what they are, the number of classes where
    each is certain and all are equally frequent. It needs no real data and does not see whether
    the samples of a class differ. Over all samples at once, not over ten parts: the mean over parts
    is smaller.

    Args:
        probabilities: p(y|x), rows that sum to one.
        resamples: bootstrap draws; 0 leaves interval and error out.
        seed: of the bootstrap.

    Raises:
        ValueError: for no sample, NaN, or rows that are no probabilities.
    """
    p = _probabilities(probabilities, "probabilities")
    own = torch.special.xlogy(p, p).sum(1)

    def score(rows: Tensor) -> float:
        marginal = p[rows].mean(0)
        return float(torch.exp(own[rows].mean() - torch.special.xlogy(marginal, marginal).sum()))

    value = score(torch.arange(len(p)))
    spread = bootstrap(score, len(p), resamples=resamples, seed=seed, centre=value)
    return Figure(value, "~", spread.standard_error, len(p), "", spread.interval)


@dataclass(frozen=True)
class ClassHistogram:
    """How often a classifier sees each class in samples and in real data.

    Attributes:
        samples: counts, shape ``(class,)``.
        real: counts, shape ``(class,)``.
        kl: KL(samples ‖ real) in nats; infinite where samples lie in a class that no real datum
            has, which ``unknown`` counts.
        total_variation: half the sum of |difference of shares|, 0 to 1.
        unknown: samples in classes without a real datum.
    """

    samples: Int[Tensor, " class"]
    real: Int[Tensor, " class"]
    kl: Figure
    total_variation: Figure
    unknown: int


def class_histogram(
    samples: Float[Tensor, "sample class"],
    real: Float[Tensor, "real class"],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> ClassHistogram:
    """The most probable classes of samples beside those of real data.

    Both figures are above zero by chance even for equal distributions, the KL by about
    (classes − 1) / 2n: compare them with those of as many real data.

    Args:
        samples: p(y|x) of samples by some classifier.
        real: the same of real data.
        resamples: bootstrap draws of the samples.
        seed: of the bootstrap.

    Raises:
        ValueError: for an empty set, NaN, rows that are no probabilities, or different classes.
    """
    p, q = _probabilities(samples, "samples"), _probabilities(real, "real")
    check_alike(p, q, "samples and real")
    classes, width = p.argmax(1), p.shape[1]
    known = torch.bincount(q.argmax(1), minlength=width)
    truth = known / known.sum().double()

    def kl(rows: Tensor) -> float:
        shares = torch.bincount(classes[rows], minlength=width) / float(len(rows))
        return float(_divergence(shares.double(), truth))

    def variation(rows: Tensor) -> float:
        shares = torch.bincount(classes[rows], minlength=width) / float(len(rows))
        return float((shares - truth).abs().sum() / 2)

    counts = torch.bincount(classes, minlength=width)
    unknown = int(counts[known == 0].sum())
    figures = []
    for statistic in (kl, variation):
        value = statistic(torch.arange(len(p)))
        finite = value != float("inf")
        spread = bootstrap(
            statistic, len(p), resamples=resamples if finite else 0, seed=seed, centre=value
        )
        spread = within(spread, 0.0)
        note = "" if finite else f"{unknown} samples lie in classes without a real datum"
        figures.append(Figure(value, "~", spread.standard_error, len(p), note, spread.interval))
    return ClassHistogram(counts, known, figures[0], figures[1], unknown)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()


def _probabilities(rows: Tensor, name: str) -> Tensor:
    p = check_rows(rows, name).double()
    if bool((p < 0).any()) or bool(((p.sum(1) - 1).abs() > TOLERANCE).any()):
        raise ValueError(
            f"{name} must be probabilities with rows that sum to 1, got rows between "
            f"{float(p.min()):.3g} and {float(p.max()):.3g}; pass logits.softmax(1)"
        )
    return p
