"""What a recipe is: a named point in the house, ready to be trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from genus.data import Dataset
from genus.data.dataset import View
from genus.engine import Algorithm, Budget
from genus.engine.loop import Precision
from genus.model import Model

__all__ = ["Entry", "Full", "Published", "Recipe"]

Sign = Literal["=", ">=", "<=", "~"]


@dataclass(frozen=True)
class Recipe:
    """A model, the data it shall learn, and how.

    Attributes:
        name: of the recipe.
        model: built, not trained.
        data: in the view that the model needs; ``data.train`` lies in ``model.space``.
        algorithm: how it learns.
        budget: how long it learns.
        seed: of initialisation, order and draws.
        settings: what was asked for beside the defaults.
        loading: options with which the data were loaded, such as ``resize``.
        pictures: what to look at while it learns, by name: functions that give images on
            [0, 1] in rows, shape ``(row, column, height, width)``.
    """

    name: str
    model: Model
    data: Dataset
    algorithm: Algorithm
    budget: Budget
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    loading: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A figure that others reached.

    Attributes:
        value: in the units of the metric.
        sign: "=" exact, ">=" a lower bound, "<=" an upper bound, "~" an estimate.
        data: the data set.
        source: who measured it.
        view: of that data set, or None for a set without views.
        features: the network of a figure that compares features, as a report names it.
    """

    value: float
    sign: Sign
    data: str
    source: str
    view: View | None = None
    features: str | None = None


@dataclass(frozen=True)
class Full:
    """How a recipe is trained and judged for the figure that stands beside a published one.

    Attributes:
        budget: in place of the recipe's own, where that is shorter.
        settings: in place of its defaults, as they are typed.
        effort: behind a bound or an estimate; the model's own by default.
        temperatures: of annealing; the model's own by default.
        chains: of annealing the log Z of layers; the model's own by default.
        precision: of matrix products while it learns.
    """

    budget: Budget | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    effort: int | None = None
    temperatures: int | None = None
    chains: int | None = None
    precision: Precision = "float32"


@dataclass(frozen=True)
class Entry:
    """A line of the recipe book.

    Attributes:
        name: by which the command line knows it.
        family: of its model.
        summary: one line.
        data: the data set it is made for.
        view: of that data set, or None for the set's own.
        function: from a data set and settings to a recipe.
        source: the paper.
        published: figures to compare with, by metric.
        model: name of the model class.
        loading: options with which its own data are loaded, such as ``resize``.
        full: how ``genus reproduce`` trains and judges it, where that is more than by default.
    """

    name: str
    family: str
    summary: str
    data: str
    view: View | None
    function: Callable[..., Recipe]
    source: str
    published: Mapping[str, Published] = field(default_factory=dict)
    model: str = ""
    loading: Mapping[str, Any] = field(default_factory=dict)
    full: Full = field(default_factory=Full)
