"""What a comparison was asked to do, so that a second call knows what is done already."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genus.data import Dataset
from genus.engine import Budget
from genus.evaluation import Effort
from genus.recipes import budgets
from genus.version import __version__

__all__ = ["Plan", "parse_budget"]


@dataclass(frozen=True)
class Plan:
    """The part of the request on which every row depends.

    Attributes:
        data: name, path or data set.
        view: of the data, or None for that of the data set.
        budget: of every family; or a number of training examples.
        seed: of everything.
        device: to train on.
        precision: "float32" or "bf16".
        settings: of recipes, by family, beside those of the families' own.
        effort: of each evaluation; None lets the budget decide.
        loading: options for the loader of the data.
    """

    data: str | Path | Dataset
    view: str | None
    budget: Budget | int
    seed: int
    device: str
    precision: Any
    settings: dict[str, dict[str, Any]]
    effort: Effort | None = None
    loading: Mapping[str, Any] | None = None

    def data_name(self) -> str:
        """What a reader calls the data."""
        return self.data.name if isinstance(self.data, Dataset) else str(self.data)

    def budget_name(self) -> str:
        """What a reader calls the budget."""
        if isinstance(self.budget, int):
            return f"{self.budget:,} examples"
        return budgets.describe_budget(self.budget)

    def budget_for(self, num_examples: int) -> Budget:
        """The budget of a run over a training set of this size."""
        if isinstance(self.budget, int):
            return Budget(epochs=self.budget / num_examples)
        return self.budget

    def fingerprint(self, recipe: str, settings: dict[str, Any], data: Dataset) -> dict[str, Any]:
        """Plain data that are equal where a stored row may be used again."""
        budget: Any = self.budget
        if isinstance(budget, Budget):
            budget = [budget.epochs, budget.steps, budget.seconds]
        found = {
            "version": __version__,
            "recipe": recipe,
            "settings": {name: _plain(value) for name, value in sorted(settings.items())},
            "data": str(data.name),
            "view": self.view,
            "space": data.space.to_config(),
            "examples": [data.train.num_examples, data.test.num_examples],
            "budget": budget,
            "seed": self.seed,
            "device": str(self.device),
            "precision": self.precision,
        }
        loading = {name: _plain(value) for name, value in sorted((self.loading or {}).items())}
        return {**found, "loading": loading} if loading else found


def parse_budget(budget: str | int | float | Budget) -> Budget | int:
    """A budget from ``"60s"``, ``"5m"``, ``"3 epochs"``, ``"500 steps"`` or ``"60000 examples"``.

    A whole number (or ``"… examples"``) means training examples, the same for every family.

    Raises:
        ValueError: where it is none of these, or not positive.
    """
    if isinstance(budget, Budget):
        return budget
    if isinstance(budget, bool) or not isinstance(budget, int | str):
        raise ValueError(f"the budget must be a text such as '60s' or a number, got {budget!r}")
    return budgets.parse_budget_or_examples(
        f"{budget}examples" if isinstance(budget, int) else budget
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
