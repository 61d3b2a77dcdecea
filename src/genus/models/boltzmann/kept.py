"""Answers that depend on the parameters alone."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Kept"]


class Kept:
    """What was found for the present parameters, such as log Z: forgotten when they change."""

    def __init__(self) -> None:
        self.parameters: list[Tensor] | None = None
        self.answers: dict[Hashable, Any] = {}

    def of(self, parameters: Iterable[Tensor], name: Hashable, make: Callable[[], Any]) -> Any:
        """The answer of this name; ``make`` finds it where it is not known for these parameters."""
        present = list(parameters)
        if self.parameters is None or not all(
            a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
            for a, b in zip(present, self.parameters, strict=True)
        ):
            self.parameters = [p.detach().clone() for p in present]
            self.answers = {}
        if name not in self.answers:
            self.answers[name] = make()
        return self.answers[name]
