"""What turns a network's output into a distribution over one entry of a datum."""

from abc import ABC, abstractmethod

from torch import Tensor

__all__ = ["Head"]


class Head(ABC):
    """Independent distributions of the entries of x, given parameters that a network computes.

    Attributes:
        num_parameters: numbers for each entry of x.
    """

    num_parameters: int

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p of each entry in nats.

        Args:
            parameters: shape ``(batch, num_parameters, *shape)``.
            x: shape ``(batch, *shape)``, a batch of the head's space.

        Returns:
            Shape ``(batch, *shape)``, in at least float32.
        """

    @abstractmethod
    def sample(self, parameters: Tensor) -> Tensor:
        """A draw of x, shape ``(batch, *shape)``."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """The mean of x, shape ``(batch, *shape)``: a probability, a level or a real."""


def at_least_float32(parameters: Tensor) -> Tensor:
    """The parameters in float32, or float64 where they come so: losses need the precision."""
    return parameters if parameters.dtype.itemsize >= 4 else parameters.float()
