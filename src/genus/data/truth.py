"""What is known about a toy: its log density and where its modes are."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Truth"]


@dataclass(frozen=True, eq=False)
class Truth:
    """The distribution that a toy was drawn from.

    Attributes:
        log_prob: from points to their log density (log probability for discrete data) in nats.
        modes: centres of the modes, shape ``(num_modes, *shape)``; empty where there are none.
        standard_deviation: of one mode around its centre, or None.
    """

    log_prob: Callable[[Tensor], Tensor]
    modes: Tensor
    standard_deviation: float | None = None
