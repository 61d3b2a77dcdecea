"""All models, one class for each way to factorise p(x); imported when first asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genus.models.linear.ppca import PPCA as PPCA

_REGISTRY = ("CLASSES", "find", "load")


def __getattr__(name: str) -> Any:
    registry = importlib.import_module("genus.models.registry")
    if name in _REGISTRY:
        return getattr(registry, name)
    if name in registry.CLASSES:
        return registry.find(name)
    raise AttributeError(f"module 'genus.models' has no attribute {name!r}")
