"""What commands print: JSON, tables, and the lines that say what comes next."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["console", "count", "print_json", "print_table", "progress_console", "say"]

WIDE = 200


def console() -> Console:
    """For results, on standard output; wide where nobody watches, so that nothing is folded."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDE)


def progress_console() -> Console:
    """For progress, on standard error, so that standard output stays clean."""
    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line on standard output."""
    print(text)


def print_json(value: Any) -> None:
    """Valid JSON on standard output; numbers that are not finite become null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns after the first two lines up as text does."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def count(number: float) -> str:
    """A number with separators."""
    return f"{number:,.0f}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
