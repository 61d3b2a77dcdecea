"""What is known about a toy: its log density and where its modes are."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Truth"]


@dataclass(frozen=True, eq=False)
class Truth:
    """The distribution that a toy was drawn from.

    Attributes:
        log_prob: from points to their log density (log probability for discrete data) in nats;
            None where only the modes are known.
        modes: centres of the modes, shape ``(num_modes, *shape)``; empty where there are none.
        standard_deviation: of one mode around its centre, or None.
        digits: where a mode is a number whose digits the channels show: how many digits, else 0.
    """

    log_prob: Callable[[Tensor], Tensor] | None
    modes: Tensor
    standard_deviation: float | None = None
    digits: int = 0

    @property
    def num_modes(self) -> int:
        """How many modes are known; 0 where none are."""
        return 10**self.digits if self.digits else len(self.modes)
