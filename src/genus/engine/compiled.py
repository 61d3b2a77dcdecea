"""Steps that ``torch.compile`` fuses: the same draws, the same results but for rounding.

Those for which there is a kernel, see :mod:`genus.kernels`, never come to it.
"""

import functools
import inspect
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from genus.engine import distributed

__all__ = [
    "Compiles",
    "check_compiled",
    "check_compiler",
    "compile_steps",
    "compiler",
    "fused",
    "refusal",
]

DO_WITHOUT = "leave compiled steps (--compiled) out"
MOST_LETTERS = 120

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Compiles(ABC):
    """An algorithm whose steps can be compiled."""

    @abstractmethod
    def compile(self, wanted: bool = True) -> None:
        """Has steps compiled from now on, or taken as they are written.

        Raises:
            ValueError: where they, as this one is set up, cannot be.
        """


def fused(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function, compiled when it is first called, and anew for each shape of what it gets.

    Random numbers come from the generators that it would use anyway. Nobody changes a global
    name while a model learns, so that no call looks whether anyone did; and on a CPU one kernel
    calls the next without Python (on a GPU that would need CUDA's headers).

    Raises:
        ValueError: from a call, where the compiler fails.
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
    kept = torch.compile(function, **settings)

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return kept(*args, **kwargs)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
                raise
            raise ValueError(
                f"a step could not be compiled ({_shortened(error)}): see that {compiler()} "
                f"works and that Python's headers are installed, or {DO_WITHOUT}"
            ) from error

    return call


def check_compiled(algorithm: object, device: torch.device) -> None:
    """Raises ValueError where the steps of an algorithm cannot be compiled, here or anywhere."""
    check_compiler(device)
    compile_steps(algorithm)


def compile_steps(algorithm: object, wanted: bool = True) -> None:
    """Has the steps of an algorithm compiled, or taken as they are written.

    Raises:
        ValueError: where they cannot be compiled.
    """
    if isinstance(algorithm, Compiles):
        algorithm.compile(wanted)
    elif wanted:
        raise ValueError(refusal(type(algorithm).__name__))


def refusal(name: str) -> str:
    """Why something cannot be compiled."""
    return (
        "compiled steps are for the contrasts of RBMs and of their deep networks; "
        f"{name} takes its steps as they are written: {DO_WITHOUT}"
    )


def check_compiler(device: torch.device) -> None:
    """Raises ValueError where nothing can be compiled: no compiler, or several processes."""
    if distributed.world() > 1:
        raise ValueError(f"compiled steps are for one process: {DO_WITHOUT}, or torchrun")
    if device.type == "cpu" and shutil.which(compiler()) is None:
        raise ValueError(
            f"compiled steps need a C++ compiler, and there is no {compiler()} here: install one, "
            f"name another in the variable CXX, or {DO_WITHOUT}"
        )


def compiler() -> str:
    """The command that torch will call."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return os.environ.get("CXX") or usual


def _shortened(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
