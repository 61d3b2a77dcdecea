"""Every family on one data set under equal budgets: the honest table, and the page.

The package itself can be called: ``genus.compare("mnist")``.
"""

import sys
import types
from typing import Any

from genus.compare.comparison import Comparison, compare
from genus.compare.families import FAMILIES, Family

__all__ = ["FAMILIES", "Comparison", "Family", "compare"]


class _Callable(types.ModuleType):
    """A module that stands for its one function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Comparison:
        return compare(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
