"""Which modes of a known distribution the samples reach."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import Spread, bootstrap, bootstrap_mean, within
from genus.evaluation.figure import Figure
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["Modes", "find_modes", "stacked_modes"]


@dataclass(frozen=True)
class Modes:
    """How samples are spread over known modes.

    Attributes:
        found: modes that have at least one good sample.
        known: all modes.
        good: share of samples that belong to a mode.
        kl: KL(samples ‖ truth) of the shares of modes, in nats, over the good samples; what papers
            call reverse KL, and what they print for stacked MNIST. None where no sample is good.
        kl_truth_samples: KL(truth ‖ samples): infinite as soon as one mode is missed.
        num_samples: how many samples were given.
        spreads: of "modes", "high_quality" and "kl": standard error and 95 % bootstrap interval.
    """

    found: int
    known: int
    good: float
    kl: float | None
    kl_truth_samples: float | None = None
    num_samples: int = 0
    spreads: dict[str, Spread] = field(default_factory=dict)

    def figures(self) -> dict[str, Figure]:
        """The numbers by name, as a report takes them; a KL of no good sample is left out."""
        values = {
            "modes": float(self.found),
            "high_quality": self.good,
            "kl": self.kl,
            "kl_truth_samples": self.kl_truth_samples,
        }
        missed = f"of {self.known} modes"
        if self.kl_truth_samples == math.inf:
            missed += "; as one is missed, KL(truth ‖ samples) is infinite"
        unknown = Spread(None, None)
        return {
            name: Figure(
                value,
                "~",
                self.spreads.get(name, unknown).standard_error,
                self.num_samples,
                missed if name == "modes" else "",
                self.spreads.get(name, unknown).interval,
            )
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }


def find_modes(
    samples: Float[Tensor, "sample dimension"],
    modes: Float[Tensor, "mode dimension"],
    standard_deviation: float,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Modes:
    """Assigns every sample to its nearest mode (Lin et al. 2018, section 4.1).

    A sample is good within three standard deviations of its mode. The modes are equally frequent
    in truth, as in the 25 Gaussians and the ring of 8.

    Args:
        samples: in the space of the data.
        modes: the centres.
        standard_deviation: of one mode in each direction.
        resamples: bootstrap draws; 0 leaves the spreads out.
        seed: of the bootstrap.

    Raises:
        ValueError: for an empty set, NaN, different dimensions or no positive deviation.
    """
    x, centres = check_rows(samples, "samples"), check_rows(modes, "modes")
    check_alike(x, centres, "samples and modes")
    if not 0 < standard_deviation < math.inf:
        raise ValueError(f"standard_deviation must be positive, got {standard_deviation}")
    distance, index = torch.cdist(x.double(), centres.double()).min(1)
    good = distance <= 3 * standard_deviation
    truth = torch.full((len(centres),), 1 / len(centres), dtype=torch.float64)
    return _modes(torch.where(good, index, -1), truth, resamples, seed)


def stacked_modes(
    channels: Sequence[Tensor],
    *,
    num_classes: int = 10,
    truth: Float[Tensor, " mode"] | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Modes:
    """The modes of stacked digits: three digits in three colours are one of 1,000.

    The test is that of Metz et al. 2017. The protocol of VEEGAN and PacGAN takes 26,000 samples;
    then even perfect ones have a KL of about 999 / 52,000 = 0.019 nats by chance. Every sample
    counts as good.

    Args:
        channels: for each channel a classifier's labels, shape ``(sample,)``, or its probabilities,
            shape ``(sample, class)``, whose most probable class is taken.
        num_classes: of one channel.
        truth: shares of the modes in real data, the first channel as the highest digit; uniform
            where none are given.
        resamples: bootstrap draws; 0 leaves the spreads out.
        seed: of the bootstrap.

    Raises:
        ValueError: for no channel, channels of different length, labels outside the classes, NaN,
            or a truth that is no distribution over the modes.
    """
    if not channels:
        raise ValueError("channels must hold at least one channel's classes, got none")
    labels = [_labels(channel, num_classes) for channel in channels]
    if len({len(one) for one in labels}) > 1:
        raise ValueError(
            f"channels must be of one length, got {[len(one) for one in labels]}; "
            "pass the classes of the same samples"
        )
    known = num_classes ** len(labels)
    index = torch.zeros_like(labels[0])
    for one in labels:
        index = index * num_classes + one
    if truth is None:
        truth = torch.full((known,), 1 / known, dtype=torch.float64)
    elif truth.shape != (known,) or bool((truth < 0).any()) or abs(float(truth.sum()) - 1) > 1e-6:
        raise ValueError(
            f"truth must be {known} shares that sum to 1, got shape {tuple(truth.shape)} and sum "
            f"{float(truth.sum()):.6g}"
        )
    return _modes(index, truth.double(), resamples, seed)


def _labels(channel: Tensor, num_classes: int) -> Tensor:
    if channel.ndim == 2:
        if channel.shape[1] != num_classes:
            raise ValueError(
                f"probabilities must have {num_classes} classes, got {channel.shape[1]}; "
                "pass num_classes"
            )
        return check_rows(channel, "probabilities").argmax(1)
    if channel.ndim != 1 or channel.is_floating_point() or len(channel) == 0:
        raise ValueError(
            "a channel must hold whole labels of shape (sample,) or probabilities of shape "
            f"(sample, class), got {tuple(channel.shape)} of {channel.dtype}"
        )
    if int(channel.min()) < 0 or int(channel.max()) >= num_classes:
        raise ValueError(
            f"labels must lie in 0 to {num_classes - 1}, got {int(channel.min())} to "
            f"{int(channel.max())}"
        )
    return channel.detach().cpu().long()


def _modes(index: Tensor, truth: Tensor, resamples: int, seed: int) -> Modes:
    """From the mode of each sample, −1 where it belongs to none."""

    def counts(rows: Tensor) -> Tensor:
        return torch.bincount(rows[rows >= 0], minlength=len(truth)).double()

    def divergence(rows: Tensor) -> float:
        shares = counts(rows) / counts(rows).sum()
        return float(_divergence(shares, truth))

    found, good = counts(index), index >= 0
    some = bool(good.any())
    shares = found / found.sum()
    spreads = {}
    if resamples:
        spreads["high_quality"] = bootstrap_mean([good.double()], seed=seed)
        value = float((found > 0).sum())
        drawn = bootstrap(
            lambda rows: float((counts(index[rows]) > 0).sum()),
            len(index),
            resamples=resamples,
            seed=seed,
            centre=value,
        )
        # what was found is there, however the samples are drawn anew
        spreads["modes"] = within(drawn, value, float(len(truth)))
    kl = divergence(index) if some else None
    if resamples and kl is not None and kl < math.inf:
        kept = index[good]
        drawn = bootstrap(
            lambda rows: divergence(kept[rows]),
            len(kept),
            resamples=resamples,
            seed=seed,
            centre=kl,
        )
        spreads["kl"] = within(drawn, 0.0)
    return Modes(
        found=int((found > 0).sum()),
        known=len(truth),
        good=float(good.double().mean()),
        kl=kl,
        kl_truth_samples=float(_divergence(truth, shares)) if some else None,
        num_samples=len(index),
        spreads=spreads,
    )


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()
