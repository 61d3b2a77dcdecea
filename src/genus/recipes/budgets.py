"""Budgets as people write them: 60s, 5m, 1000steps, 3epochs."""

import math
import re

from genus.engine.budget import Budget

__all__ = ["describe_budget", "parse_budget"]

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
    match = re.fullmatch(r"\s*([-+0-9.eE]*[0-9.])\s*([a-zA-Z]*)\s*", text)
    unit = None
    if match:
        unit = next((u for u, names in _UNITS.items() if match[2].lower() in names), None)
    try:
        amount = float(match[1]) if match and unit else math.nan
    except ValueError:
        amount = math.nan
    if unit is None or not math.isfinite(amount):
        raise ValueError(
            f"a budget looks like 60s, 5m, 1000steps or 3epochs (a number and its unit), "
            f"got {text!r}"
        )
    if amount <= 0:
        raise ValueError(f"the budget must be positive, got {text!r}")
    if unit in _SECONDS:
        return Budget(seconds=amount * _SECONDS[unit])
    if unit == "epochs":
        return Budget(epochs=amount)
    if amount != int(amount):
        raise ValueError(f"a budget in steps is a whole number, got {text!r}")
    return Budget(steps=int(amount))


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
