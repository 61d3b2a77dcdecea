"""A measured number that says how far it can be trusted."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["SYMBOLS", "Figure", "Sign", "mean_figure"]

Sign = Literal["=", ">=", "<=", "~"]

SYMBOLS: dict[str, str] = {"=": "=", ">=": "≥", "<=": "≤", "~": "≈"}
"""How a sign is printed."""


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    Attributes:
        value: the number.
        sign: "=" it is the quantity itself, ">=" the quantity is at least this, "<=" at most
            this, "~" it is an estimate.
        standard_error: how far chance moves it, or None where nobody knows.
        num_examples: how many data or draws it rests on.
        note: what a reader must know to compare it with another.
        interval: the ends of a 95 % bootstrap interval, or None where there was no bootstrap.
    """

    value: float
    sign: Sign = "="
    standard_error: float | None = None
    num_examples: int = 0
    note: str = ""
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        spread = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"{SYMBOLS[self.sign]} {self.value:.5g}{spread}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; a number that is not finite becomes None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def mean_figure(values: Tensor, sign: Sign = "=", note: str = "") -> Figure:
    """The mean over the first axis of ``values``, with its standard error s/√n.

    The standard error of a single value is unknown (None).
    """
    flat = values.detach().double().flatten()
    error = None
    if len(flat) > 1:
        error = float(flat.std() / math.sqrt(len(flat)))
    return Figure(float(torch.mean(flat)), sign, error, len(flat), note)
