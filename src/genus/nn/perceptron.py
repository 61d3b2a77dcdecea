"""Fully connected networks."""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

__all__ = ["ACTIVATIONS", "Activation", "Perceptron"]

Activation = Literal["relu", "leaky_relu", "silu", "tanh"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Perceptron(nn.Sequential):
    """Linear layers with a nonlinearity between them, none after the last.

    Args:
        sizes: of the input, the hidden layers and the output, at least two.
        activation: the nonlinearity.
        norm: "batch" puts batch normalisation before every nonlinearity.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = "relu",
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        if len(sizes) < 2 or any(size < 1 for size in sizes):
            raise ValueError(f"sizes must hold at least two positive integers, got {tuple(sizes)}")
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            if number:
                if norm == "batch":
                    layers.append(nn.BatchNorm1d(inputs))
                layers.append(ACTIVATIONS[activation]())
            layers.append(nn.Linear(inputs, outputs))
        super().__init__(*layers)
