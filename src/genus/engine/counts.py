"""Counts that are given by hand."""

import operator
from typing import Any

__all__ = ["check_count", "count_or"]


def check_count(name: str, value: Any) -> int:
    """A positive whole number, of any integer type.

    Raises:
        ValueError: for anything else.
    """
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return count


def count_or(name: str, value: Any, default: int) -> int:
    """The default where nothing is given, else a checked count.

    Raises:
        ValueError: for anything but None and a positive whole number.
    """
    return default if value is None else check_count(name, value)
