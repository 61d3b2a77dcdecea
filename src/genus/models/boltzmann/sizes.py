"""How many units each hidden layer has, as it is given by hand."""

from typing import Any

from genus.engine.counts import check_count

__all__ = ["check_sizes"]


def check_sizes(hidden: Any, least: int = 1) -> tuple[int, ...]:
    """Units of h₁, …, h_L.

    Args:
        hidden: a tuple or list.
        least: how many layers there must be, 1 or 2.

    Raises:
        ValueError: where it is no tuple or list of so many positive whole numbers.
    """
    given = hidden if isinstance(hidden, tuple | list) else ()
    try:
        sizes = tuple(check_count("hidden", size) for size in given)
    except ValueError:
        sizes = ()
    if len(sizes) < least:
        several, hint = ("two", "; for one layer take an RBM") if least > 1 else ("one", "")
        raise ValueError(
            f"hidden must be {several} or more layers of at least 1 unit, such as (500, 1000), "
            f"got {hidden!r}{hint}"
        )
    return sizes
