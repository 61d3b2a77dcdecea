"""Budgets as people write them: 60s, 5m, 1000steps, 3epochs."""

import math
import re
from collections.abc import Mapping

from genus.engine.budget import Budget

__all__ = ["describe_budget", "parse_budget", "parse_budget_or_examples"]

_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "hours": ("h", "hour", "hours"),
    "steps": ("step", "steps"),
    "epochs": ("e", "epoch", "epochs"),
}
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}


def parse_budget(text: str) -> Budget:
    """A budget from text such as ``60s``, ``5m``, ``1h``, ``1000steps`` or ``3epochs``.

    Raises:
        ValueError: where the text is none, or not positive.
    """
    return _budget(*_parse(text, _UNITS))


def parse_budget_or_examples(text: str) -> Budget | int:
    """A budget, or from text such as ``60000examples`` a number of training examples.

    Raises:
        ValueError: where the text is neither, or not positive.
    """
    amount, unit = _parse(text, {**_UNITS, "examples": ("example", "examples")})
    return int(amount) if unit == "examples" else _budget(amount, unit)


def _parse(text: str, units: Mapping[str, tuple[str, ...]]) -> tuple[float, str]:
    match = re.fullmatch(r"\s*([-+0-9.eE]*[0-9.])\s*([a-zA-Z]*)\s*", text)
    try:
        amount = float(match[1]) if match else math.nan
    except ValueError:
        amount = math.nan
    word = match[2].lower() if match else ""
    unit = next((name for name, words in units.items() if word in words), None)
    if amount <= 0 and (unit is not None or not word):
        raise ValueError(f"the budget must be positive, got {text!r}")
    if unit is None or not math.isfinite(amount):
        more = ", 3epochs or 60000examples" if "examples" in units else " or 3epochs"
        raise ValueError(
            f"the budget must be a number and its unit, such as 60s, 5m, 1000steps{more}, "
            f"got {text!r}"
        )
    if unit in ("steps", "examples") and amount != int(amount):
        raise ValueError(f"the budget must be a whole number of {unit}, got {text!r}")
    return amount, unit


def _budget(amount: float, unit: str) -> Budget:
    if unit in _SECONDS:
        return Budget(seconds=amount * _SECONDS[unit])
    return Budget(epochs=amount) if unit == "epochs" else Budget(steps=int(amount))


def describe_budget(budget: Budget) -> str:
    """A budget in words."""
    parts = []
    if budget.epochs is not None:
        parts.append(f"{budget.epochs:g} epochs")
    if budget.steps is not None:
        parts.append(f"{budget.steps} steps")
    if budget.seconds is not None:
        parts.append(f"{budget.seconds:g} s")
    return " or ".join(parts)
