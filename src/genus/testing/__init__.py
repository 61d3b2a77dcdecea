"""The contract that every model keeps, as named checks; it ships with the package.

>>> from genus import testing
>>> results = testing.check_class(MyModel)  # doctest: +SKIP
"""

from genus.testing.case import Case, Result, Skipped
from genus.testing.checks import CHECKS, checks_for
from genus.testing.examples import lopsided
from genus.testing.running import check_class, find_cases, run
from genus.testing.stiffen import stiffen

__all__ = [
    "CHECKS",
    "Case",
    "Result",
    "Skipped",
    "check_class",
    "checks_for",
    "find_cases",
    "lopsided",
    "run",
    "stiffen",
]
