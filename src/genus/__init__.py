"""genus: every family of generative model under one contract.

>>> import genus
>>> model = genus.models.PPCA(genus.Real((784,)), num_components=50)
"""

import importlib
from typing import TYPE_CHECKING, Any

from genus.version import __version__

if TYPE_CHECKING:
    from genus import data, models, recipes, spaces
    from genus.compare import compare
    from genus.engine.budget import Budget
    from genus.model import Model
    from genus.models.sharing import load, pull, push
    from genus.spaces import Binary, Categorical, Pixels, Real, Sequence

_HOMES = {
    "Binary": "genus.spaces",
    "Categorical": "genus.spaces",
    "Pixels": "genus.spaces",
    "Real": "genus.spaces",
    "Sequence": "genus.spaces",
    "Budget": "genus.engine.budget",
    "Model": "genus.model",
    "load": "genus.models.sharing",
    "pull": "genus.models.sharing",
    "push": "genus.models.sharing",
}
_MODULES = (
    "compare",
    "data",
    "engine",
    "evaluation",
    "model",
    "models",
    "recipes",
    "spaces",
    "testing",
)

__all__ = [
    "Binary",
    "Budget",
    "Categorical",
    "Model",
    "Pixels",
    "Real",
    "Sequence",
    "__version__",
    "compare",
    "data",
    "load",
    "models",
    "pull",
    "push",
    "recipes",
    "spaces",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: ``import genus`` alone stays light."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"genus.{name}")
    raise AttributeError(f"module 'genus' has no attribute {name!r}")
