"""Steps that ``torch.compile`` fuses: the same draws, the same results but for rounding."""

import inspect
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from genus.engine import distributed

__all__ = ["Compiles", "check_compiler", "compile_steps", "compiled"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Compiles(ABC):
    """An algorithm whose steps can be compiled."""

    @abstractmethod
    def compile(self) -> None:
        """Has its steps compiled from now on.

        Raises:
            ValueError: where they, as this one is set up, cannot be.
        """


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function, compiled when it is first called, and anew for each shape of what it gets.

    Random numbers come from the generators that it would use anyway. Nobody changes a global
    name while a model learns, so that no call looks whether anyone did; and on a CPU one kernel
    calls the next without Python (on a GPU that would need CUDA's headers).
    """
    settings: dict[str, Any] = {
        "dynamic": False,
        "options": {
            "fallback_random": True,
            "guard_filter_fn": torch.compiler.skip_guard_on_globals_unsafe,
            "size_asserts": False,
            "alignment_asserts": False,
            "cpp_wrapper": not torch.cuda.is_available(),
        },
    }
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:  # not before torch 2.13
        settings["isolate_recompiles"] = True
    return torch.compile(function, **settings)


def compile_steps(algorithm: object) -> None:
    """Has the steps of an algorithm compiled.

    Raises:
        ValueError: where they cannot be.
    """
    if not isinstance(algorithm, Compiles):
        raise ValueError(
            "compiled steps are for objectives that know their gradient, such as contrastive "
            f"divergence; {type(algorithm).__name__} takes its steps as they are written: leave "
            "compiled out"
        )
    algorithm.compile()


def check_compiler(device: torch.device) -> None:
    """Raises ValueError where nothing can be compiled: no compiler, or several processes."""
    if distributed.world() > 1:
        raise ValueError("compiled steps are for one process: leave compiled or torchrun out")
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(name) is None:
        raise ValueError(
            f"compiled steps need a C++ compiler, and there is no {name} here: install one, name "
            "another in the variable CXX, or leave compiled out"
        )
