"""Counts that are given by hand."""

import operator
from typing import Any

__all__ = ["check_count"]


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
