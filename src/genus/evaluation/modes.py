"""Which modes of a known distribution the samples reach."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Modes", "find_modes"]


@dataclass(frozen=True)
class Modes:
    """How samples are spread over known modes.

    Attributes:
        found: modes that have at least one good sample.
        known: all modes.
        good: share of samples within three standard deviations of a mode.
        kl: of the good samples' share of modes from the uniform one, in nats; None where no
            sample is good.
    """

    found: int
    known: int
    good: float
    kl: float | None


def find_modes(
    samples: Float[Tensor, "sample dimension"],
    modes: Float[Tensor, "mode dimension"],
    standard_deviation: float,
) -> Modes:
    """Assigns every sample to its nearest mode (Lin et al. 2018, section 4.1).

    Args:
        samples: in the space of the data.
        modes: the centres.
        standard_deviation: of one mode in each direction.
    """
    distance, index = torch.cdist(samples.double(), modes.double()).min(1)
    good = distance <= 3 * standard_deviation
    counts = torch.bincount(index[good], minlength=len(modes)).double()
    shares = counts / counts.sum()
    kl = torch.special.xlogy(shares, shares * len(modes)).sum()
    return Modes(
        found=int((counts > 0).sum()),
        known=len(modes),
        good=float(good.double().mean()),
        kl=float(kl) if bool(good.any()) else None,
    )
