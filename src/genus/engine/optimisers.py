"""Optimisers and learning-rate schedules, described as plain data."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["Optimiser", "Schedule", "schedule_factor"]

Schedule = Literal["constant", "linear", "cosine", "one-cycle"]


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser, with which settings.

    Attributes:
        name: "adam" (with ``weight_decay`` decoupled, as AdamW) or "sgd".
        learning_rate: at the top of the schedule.
        betas: of Adam; the first is the momentum of SGD.
        weight_decay: decoupled (Adam) or L2 (SGD); of matrices and kernels, not of biases
            (Hinton 2010, section 10).
        schedule: of the learning rate over the whole budget.
        clip: largest norm of the gradient, or None.
        max_norm: largest norm of the weights that enter a unit, or None: after each step longer
            ones are shortened to it (Srebro & Shraibman 2005; Hinton et al. 2012).
        norm_over: the dimension of a matrix that such weights run along: 0 for the weights
            (visible, hidden) of a Boltzmann machine, 1 for those of ``nn.Linear``.
    """

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    clip: float | None = None
    max_norm: float | None = None
    norm_over: Literal[0, 1] = 0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive or None, got {self.clip}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise ValueError(f"max_norm must be positive or None, got {self.max_norm}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"betas must be two numbers, each at least 0 and below 1, got {self.betas}"
            )
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay}")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over ``parameters``; fused, which is several times faster a step."""
        groups = self._groups([p for p in parameters if p.requires_grad])
        rate, momentum = self.learning_rate, self.betas[0]
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, fused=True)
        return torch.optim.AdamW(groups, lr=rate, betas=self.betas, weight_decay=0.0, fused=True)

    def _groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """All parameters together, or where weights decay those that do and those that do not."""
        if self.weight_decay == 0.0:
            return [{"params": parameters}]
        weights = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        decaying = {"params": weights, "weight_decay": self.weight_decay}
        groups: list[dict[str, Any]] = [decaying, {"params": others}]
        return [group for group in groups if group["params"]]

    def shorten(self, parameters: Iterable[Tensor]) -> None:
        """Holds every matrix to ``max_norm``, in place."""
        if self.max_norm is None:
            return
        with torch.no_grad():
            for p in parameters:
                if p.ndim == 2:
                    p.copy_(p.renorm(2, 1 - self.norm_over, self.max_norm))


def schedule_factor(schedule: Schedule, fraction: float) -> float:
    """The learning rate's factor at a fraction of the budget, 0 ≤ fraction ≤ 1.

    ``linear`` and ``cosine`` fall to zero; ``one-cycle`` rises over the first tenth and falls
    as a cosine (Smith & Topin 2019).
    """
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - fraction
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * fraction))
        case "one-cycle":
            if fraction < 0.1:
                return 0.05 + 0.95 * fraction / 0.1
            return 0.5 * (1.0 + math.cos(math.pi * (fraction - 0.1) / 0.9))
    raise ValueError(f"schedule must be constant, linear, cosine or one-cycle, got {schedule!r}")
