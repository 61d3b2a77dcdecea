"""What a datum is: the space that data and model must share.

A space says the shape of one datum and which values it may hold. It checks data, draws
points, and, where it is finite and small, lists them all, so that a probability can be
summed over everything that could have happened.
"""

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

__all__ = ["Binary", "Categorical", "Numeric", "Pixels", "Real", "Sequence", "Space", "from_config"]

MOST_POINTS = 1 << 20


@dataclass(frozen=True)
class Space(ABC):
    """A set in which one datum lives.

    Attributes:
        shape: the shape of one datum; a batch of n data has shape ``(n, *shape)``.
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        shape = tuple(int(side) for side in self.shape)
        if any(side < 1 for side in shape):
            raise ValueError(f"shape must hold sizes of at least 1, got {self.shape}")
        object.__setattr__(self, "shape", shape)

    @property
    def num_dimensions(self) -> int:
        """How many numbers make one datum (the D of bits per dimension)."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype | None:
        """The dtype of a checked batch; None keeps the dtype of the model."""

    @abstractmethod
    def _value_problem(self, x: Tensor) -> str | None:
        """What is wrong with the values of a batch, or None."""

    @abstractmethod
    def random(self, n: int) -> Tensor:
        """n points drawn without regard to any model, shape ``(n, *shape)``."""

    def _problem(self, x: Tensor) -> str | None:
        if tuple(x.shape[1:]) != self.shape or x.ndim == 0:
            return (
                f"expected shape (batch, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}"
            )
        return self._value_problem(x)

    @final
    def contains(self, x: Tensor) -> bool:
        """Whether every datum of the batch ``x`` is a point of this space."""
        return self._problem(x) is None

    @final
    def check(self, x: Any, name: str = "x", *, like: Tensor | None = None) -> Tensor:
        """The batch as a tensor of this space, on the device (and float dtype) of ``like``.

        Args:
            x: tensor, NumPy array or nested list, shape ``(batch, *shape)``.
            name: how to call the argument in an error.
            like: a tensor whose device and floating dtype are taken over.

        Raises:
            ValueError: where ``x`` is no batch of this space; names what was expected.
        """
        try:
            batch = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be a tensor or a numeric array: {error}") from error
        problem = self._problem(batch)
        if problem is not None:
            raise ValueError(f"{name} is not in {self}: {problem}")
        floating = torch.get_default_dtype() if like is None else like.dtype
        return batch.to(
            device=batch.device if like is None else like.device,
            dtype=floating if self.dtype is None else self.dtype,
        )

    @final
    def to_config(self) -> dict[str, Any]:
        """The space as plain data, for a checkpoint."""
        config = {"space": type(self).__name__, **asdict(self)}
        if isinstance(self, Sequence):
            config["of"] = self.of.to_config()
            del config["shape"]
        else:
            config["shape"] = list(self.shape)
        return config


class Numeric(Space):
    """A space whose values lie on a line, so that a real-valued model can stand on it."""

    @property
    @abstractmethod
    def levels(self) -> int | None:
        """How many values an entry may take; None where they are a continuum."""

    @final
    def to_real(self, x: Tensor) -> Tensor:
        """Maps levels evenly onto [−1, 1]; reals stay as they are.

        A floating dtype is kept, integers take the default one.
        """
        if self.levels is None:
            return x
        values = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        return values * (2.0 / (self.levels - 1)) - 1.0

    @final
    def from_real(self, y: Tensor) -> Tensor:
        """The nearest point: inverse of :meth:`to_real`, with rounding and clamping."""
        if self.levels is None:
            return y
        top = self.levels - 1
        nearest = ((y + 1.0) * (0.5 * top)).round().clamp(0, top)
        return nearest if self.dtype is None else nearest.to(self.dtype)


@dataclass(frozen=True)
class Binary(Numeric):
    """Entries 0 or 1, held as floats."""

    @property
    def dtype(self) -> None:
        """The floating dtype of the model."""
        return None

    @property
    def levels(self) -> int:
        """Two."""
        return 2

    def _value_problem(self, x: Tensor) -> str | None:
        if bool(((x == 0) | (x == 1)).all()):
            return None
        return _gaps(x) or (
            f"entries must be 0 or 1, found {_outsider(x, (x == 0) | (x == 1))}; binarise the data"
        )

    def random(self, n: int) -> Tensor:
        """Fair coin flips."""
        return torch.randint(0, 2, (n, *self.shape)).to(torch.get_default_dtype())

    def points(self) -> Tensor:
        """All 2^D points, shape ``(2^D, *shape)``.

        Raises:
            ValueError: for more than about a million points.
        """
        return _all_points(self.shape, 2).to(torch.get_default_dtype())


@dataclass(frozen=True)
class Categorical(Space):
    """Entries that name one of ``num_categories`` things, without order; int64."""

    num_categories: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least("num_categories", self.num_categories, 1)

    @property
    def dtype(self) -> torch.dtype:
        """int64."""
        return torch.int64

    def _value_problem(self, x: Tensor) -> str | None:
        return _level_problem(x, self.num_categories)

    def random(self, n: int) -> Tensor:
        """Uniform categories."""
        return torch.randint(0, self.num_categories, (n, *self.shape))

    def points(self) -> Tensor:
        """All points, shape ``(num_categories^D, *shape)``; ValueError where too many."""
        return _all_points(self.shape, self.num_categories)


@dataclass(frozen=True)
class Pixels(Numeric):
    """Images of integer levels 0 … num_levels − 1, shape (channel, height, width)."""

    num_levels: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.num_levels <= 256:
            raise ValueError(f"num_levels must be 2 to 256, got {self.num_levels}")

    @property
    def dtype(self) -> torch.dtype:
        """uint8."""
        return torch.uint8

    @property
    def levels(self) -> int:
        """The number of levels."""
        return self.num_levels

    def _value_problem(self, x: Tensor) -> str | None:
        return _level_problem(x, self.num_levels)

    def random(self, n: int) -> Tensor:
        """Uniform noise."""
        return torch.randint(0, self.num_levels, (n, *self.shape), dtype=torch.uint8)

    def points(self) -> Tensor:
        """All points, shape ``(num_levels^D, *shape)``; ValueError where too many."""
        return _all_points(self.shape, self.num_levels).to(torch.uint8)


@dataclass(frozen=True)
class Real(Numeric):
    """Finite real numbers."""

    @property
    def dtype(self) -> None:
        """The floating dtype of the model."""
        return None

    @property
    def levels(self) -> None:
        """A continuum."""
        return None

    def _value_problem(self, x: Tensor) -> str | None:
        if x.dtype.is_complex:
            return f"entries must be real, got dtype {x.dtype}"
        return _gaps(x)

    def random(self, n: int) -> Tensor:
        """Standard normal draws."""
        return torch.randn(n, *self.shape)


@dataclass(frozen=True, init=False)
class Sequence(Space):
    """Sequences of points of another space, all windows of length ``max_length``."""

    of: Space
    max_length: int

    def __init__(self, of: Space, max_length: int) -> None:
        """A sequence of ``max_length`` points of ``of``."""
        _check_at_least("max_length", max_length, 1)
        object.__setattr__(self, "of", of)
        object.__setattr__(self, "max_length", int(max_length))
        object.__setattr__(self, "shape", (int(max_length), *of.shape))

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the elements."""
        return self.of.dtype

    def _value_problem(self, x: Tensor) -> str | None:
        return self.of._value_problem(x.flatten(0, 1))

    def random(self, n: int) -> Tensor:
        """Independent random elements."""
        return self.of.random(n * self.max_length).reshape(n, *self.shape)


def from_config(config: dict[str, Any]) -> Space:
    """The space that :meth:`Space.to_config` described.

    Raises:
        ValueError: where the description names no space or lacks a part.
    """
    known = {cls.__name__: cls for cls in (Binary, Categorical, Pixels, Real, Sequence)}
    arguments = dict(config)
    cls = known.get(arguments.pop("space", ""))
    if cls is None:
        raise ValueError(f"space must be one of {sorted(known)}, got {config.get('space')!r}")
    if cls is Sequence:
        return Sequence(from_config(arguments["of"]), arguments["max_length"])
    names = {field.name for field in fields(cls)}
    if set(arguments) != names:
        raise ValueError(f"{cls.__name__} takes {sorted(names)}, got {sorted(arguments)}")
    arguments["shape"] = tuple(arguments["shape"])
    return cls(**arguments)


def _check_at_least(name: str, value: int, least: int) -> None:
    if int(value) != value or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value}")


def _gaps(x: Tensor) -> str | None:
    """Where a batch holds no numbers, or None."""
    finite = torch.isfinite(x)
    if bool(finite.all()):
        return None
    rows = (~finite).reshape(len(x), -1).any(1).nonzero().flatten()
    return (
        f"{int((~finite).sum())} entries are NaN or infinite, first in row {int(rows[0])}; "
        "drop or fill them first"
    )


def _outsider(x: Tensor, inside: Tensor) -> str:
    return f"{x[~inside].flatten()[0].item():g}"


def _level_problem(x: Tensor, levels: int) -> str | None:
    top = levels - 1
    if not x.dtype.is_floating_point and x.dtype != torch.bool:
        top = min(top, torch.iinfo(x.dtype).max)  # a larger bound would wrap around
    inside = (x >= 0) & (x <= top)
    if x.dtype.is_floating_point:
        inside &= x == x.floor()
    if bool(inside.all()):
        return None
    return _gaps(x) or f"entries must be integers 0 to {levels - 1}, found {_outsider(x, inside)}"


def _all_points(shape: tuple[int, ...], levels: int) -> Tensor:
    size = math.prod(shape)
    if levels**size > MOST_POINTS:
        raise ValueError(f"{levels}^{size} points are too many to list (at most {MOST_POINTS})")
    rows = list(itertools.product(range(levels), repeat=size))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, *shape)
