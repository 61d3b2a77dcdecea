"""Sparsity: hidden units that are seldom active."""

from dataclasses import dataclass

__all__ = ["Sparsity"]


@dataclass(frozen=True)
class Sparsity:
    """Pulls the mean of every hidden unit over the data towards a target (Hinton 2010, section 11).

    With a slow average q of the unit's mean over batches, the gradient of its input is
    cost · (q − target) for every datum, carried on to its bias and its weights. Lee, Ekanadham
    & Ng 2008 move the bias alone, which is what this amounts to in centred coordinates.

    Args:
        target: wanted mean; of binary units typically 0.01 to 0.1.
        cost: of missing it; 0 leaves the hidden units alone.
        decay: of the average at each step, 0 to 1; 0 takes the batch's own.

    Raises:
        ValueError: where cost or decay is out of its range, or the target is not finite.
    """

    target: float
    cost: float
    decay: float = 0.9

    def __post_init__(self) -> None:
        if not abs(self.target) < float("inf"):
            raise ValueError(f"target must be a finite number, got {self.target}")
        if not 0 <= self.cost < float("inf"):
            raise ValueError(f"cost must be at least 0, got {self.cost}")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {self.decay}")
