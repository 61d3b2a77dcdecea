"""The Parzen-window log-likelihood of samples, in the protocol of Goodfellow et al. 2014.

    log p(x) = log (1/n) Σᵢ N(x; sᵢ, σ² I)

It judges samples by blur: real training images score less than good blurred ones. Print it only
beside the figure of as many real training images.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["SIGMAS", "Parzen", "parzen_figure", "parzen_log_prob"]

SIGMAS: tuple[float, ...] = tuple(10 ** (-1 + i / 9) for i in range(10))
"""Ten widths from 0.1 to 1, evenly spaced in logarithm, for data scaled to [0, 1]."""
NUM_SAMPLES, NUM_VALID = 10_000, 1000
BLOCK = 500


@dataclass(frozen=True)
class Parzen:
    """A Parzen-window figure and how it was taken.

    Attributes:
        log_likelihood: mean over test data, nats per datum.
        sigma: the width chosen on validation data.
    """

    log_likelihood: Figure
    sigma: float


def parzen_log_prob(
    x: Float[Tensor, "datum feature"],
    samples: Float[Tensor, "sample feature"],
    sigma: float,
    *,
    block: int = BLOCK,
) -> Float[Tensor, " datum"]:
    """The log density of each datum under Gaussians around samples, nats, float64.

    Never holds more than ``block × sample`` distances.

    Raises:
        ValueError: for an empty set, NaN, different features or a width that is not positive.
    """
    return _log_probs(x, samples, (sigma,), block)[0]


def _log_probs(x: Tensor, samples: Tensor, sigmas: tuple[float, ...], block: int) -> Tensor:
    data, centres = check_rows(x, "x"), check_rows(samples, "samples").double()
    check_alike(data, centres, "x and samples")
    if not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
        raise ValueError(f"sigma must be positive, got {sigmas}")
    origin = centres.mean(0)
    centres = centres - origin
    norms = centres.square().sum(1)
    parts = []
    for rows in data.split(block):
        moved = rows.double() - origin
        squares = torch.addmm(norms, moved, centres.T, alpha=-2)
        squares += moved.square().sum(1, keepdim=True)
        squares.clamp_(min=0)
        parts.append(torch.stack([(squares / (-2 * sigma**2)).logsumexp(1) for sigma in sigmas]))
    scale = [math.log(sigma * math.sqrt(2 * math.pi)) for sigma in sigmas]
    constant = math.log(len(centres)) + centres.shape[1] * torch.tensor(scale).double()
    return torch.cat(parts, 1) - constant[:, None]


def parzen_figure(
    samples: Float[Tensor, "sample feature"],
    test: Float[Tensor, "test feature"],
    valid: Float[Tensor, "valid feature"],
    *,
    sigmas: tuple[float, ...] = SIGMAS,
    seed: int = 0,
    block: int = BLOCK,
) -> Parzen:
    """The mean log density of test data, with the width that suits validation data best.

    The protocol takes 10,000 samples, the first 1,000 validation images and ten widths; the note
    of the figure says where this call differs. The standard error is that of the choice of test
    data, not that of the samples.

    Args:
        samples: of the model, or real training data for the figure that belongs beside it.
        test: data scaled to [0, 1], flattened.
        valid: validation data; the first 1,000 are used.
        sigmas: widths to choose from.
        seed: of the bootstrap.
        block: data at a time.

    Raises:
        ValueError: for an empty set, NaN, different features or a width that is not positive.
    """
    scores = _log_probs(valid[:NUM_VALID], samples, tuple(sigmas), block).mean(1)
    best = int(scores.argmax())
    sigma = sigmas[best]
    notes = [f"Parzen window of {len(samples)} samples, σ = {sigma:.3g}"]
    if len(samples) != NUM_SAMPLES or len(valid) < NUM_VALID or tuple(sigmas) != SIGMAS:
        notes.append("not Goodfellow's protocol (10,000 samples, 1,000 validation data, 10 widths)")
    if len(sigmas) > 1 and best in (0, len(sigmas) - 1):
        notes.append("the width is at the end of its range")
    values = parzen_log_prob(test, samples, sigma, block=block)
    return Parzen(bootstrapped_mean(values, "~", "; ".join(notes), seed=seed), sigma)
