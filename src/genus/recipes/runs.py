"""A run's folder: what it says about itself, and what can be read back from it."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genus import data as datasets
from genus.data import Dataset
from genus.data.loading import ENTRIES as KNOWN
from genus.data.steps import Binarise
from genus.engine import Budget, checkpoint
from genus.model import Model
from genus.models import registry
from genus.recipes.recipe import Recipe
from genus.spaces import Pixels

__all__ = [
    "RunFolder",
    "describe",
    "differences",
    "is_first_process",
    "open_run",
    "source_of",
    "view_of",
]

MOST_RUNS = 12
_DESCRIBE = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
_MUST_AGREE = ("recipe", "class", "settings", "config", "data", "seed", "precision", "compiled")
_UNLESS_SAID = {"compiled": False}


@dataclass(frozen=True)
class RunFolder:
    """A trained model with what was written beside it.

    Attributes:
        path: the folder.
        model: ready to answer.
        notes: ``config.json``.
    """

    path: Path
    model: Model
    notes: dict[str, Any]

    @property
    def recipe(self) -> str:
        """Name of the recipe, or of the class where there was none."""
        return str(self.notes.get("recipe", self.notes["class"]))

    @property
    def budget(self) -> Budget | None:
        """What it was trained for."""
        kept = self.notes.get("budget")
        return None if kept is None else Budget(**kept)

    def annealed(
        self, num_temperatures: int | None = None, num_chains: int | None = None
    ) -> "RunFolder":
        """The same run, whose log Z is annealed over so many temperatures, with so many chains.

        Each is the model's own where it is None.

        Raises:
            ValueError: where the model has no such number of its own, fewer than 3 temperatures
                or no chain are asked for.
        """
        kind, config = type(self.model), self.model.config
        asked = {"num_temperatures": num_temperatures, "num_chains": num_chains}
        given = {name: number for name, number in asked.items() if number is not None}
        if "num_temperatures" in given and "num_temperatures" not in config:
            raise ValueError(
                "--temperatures is for models whose log Z is annealed; "
                f"{kind.__name__} is none of them, leave it out"
            )
        if "num_chains" in given and "num_chains" not in config:
            raise ValueError(
                "--chains is for deep models whose log Z is annealed (of an RBM the chains are its "
                f"--effort); {kind.__name__} is none of them, leave it out"
            )
        if not given:
            return self
        model = kind(**{**config, **given})
        model.load_state_dict(self.model.state_dict())
        return replace(self, model=model.to(self.model.example.device).eval())

    def data(
        self,
        other: str | Path | None = None,
        *,
        view: str | None = None,
        loading: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """The data that the model learnt, or others of the same kind, in the model's view.

        Args:
            other: name or path; the data of the run by default.
            view: of these data; that of the run by default.
            loading: options for the loader of other data, such as ``resize``.

        Raises:
            ValueError: where the run names no data, or they lie in another space.
        """
        if loading and other is None:
            raise ValueError("--load goes with --data; the run's own data are loaded as they were")
        described = self.notes.get("data") or {}
        name = other if other is not None else described.get("source")
        if name is None:
            raise ValueError(f"{self.path} does not say what it was trained on; give --data")
        options = dict((described.get("loading") if other is None else loading) or {})
        seen: Any = view or described.get("view")
        loaded = datasets.load(name, view=seen, **options)
        if self.model.condition is not None:
            loaded = loaded.conditional()
        if described.get("dequantised"):
            loaded = loaded.dequantised()
        if loaded.space != self.model.space:
            raise ValueError(
                f"{name} lies in {loaded.space}, but {self.path} holds a model over "
                f"{self.model.space}; give --data or --view"
            )
        return loaded


def open_run(folder: str | Path, *, device: str = "cpu") -> RunFolder:
    """The run in a folder.

    Raises:
        ValueError: where there is none, or it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"there is no run at {path}; {_beside(path)}")
    if not (path / "config.json").exists():
        raise ValueError(f"{path} holds no run (no config.json); {_beside(path / 'run')}")
    model = registry.load(path, device=device)
    return RunFolder(path, model, checkpoint.read_json(path / "config.json"))


def describe(recipe: Recipe, precision: str, *, compiled: bool = False) -> dict[str, Any]:
    """What a run's ``config.json`` says beside the model: all that a resume must agree with."""
    data = recipe.data
    return {
        "recipe": recipe.name,
        "settings": _plain(recipe.settings),
        "data": {
            "name": data.name,
            "source": source_of(data),
            "loading": _plain(recipe.loading),
            "view": view_of(data),
            "dequantised": data.log_volume != 0.0,
            "num_examples": data.train.num_examples,
            "space": data.space.to_config(),
        },
        "seed": recipe.seed,
        "precision": precision,
        "compiled": compiled,
        "budget": asdict(recipe.budget),
        "commit": _commit(),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """In words: what of a run's description is not as it was."""
    found = []
    for key in _MUST_AGREE:
        old = before.get(key, _UNLESS_SAID.get(key))
        new = now.get(key, old)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            names = [n for n in {**old, **new} if old.get(n) != new.get(n)]
            found += [f"{key} {n} was {_show(old, n)}, now {_show(new, n)}" for n in names]
        else:
            found.append(f"{key} was {old!r}, now {new!r}")
    return found


def source_of(data: Dataset) -> str:
    """What to ask the loader for: the name of a known set, else the path."""
    if data.name in KNOWN:
        return data.name
    return str(Path(data.origin).resolve()) if Path(data.origin).exists() else data.origin


def view_of(data: Dataset) -> str | None:
    """How the levels of images are seen, or None for data without levels."""
    binarise = next((step for step in data.steps if isinstance(step, Binarise)), None)
    if binarise is not None:
        return "binary" if binarise.redraw else "static"
    return "pixels" if isinstance(data.stored_space, Pixels) else None


def is_first_process() -> bool:
    """Whether this process writes and prints: the only one, or the first under ``torchrun``."""
    return os.environ.get("RANK", "0") == "0"


def _beside(path: Path) -> str:
    """Which runs lie in the folder where this one was looked for."""
    try:
        found = sorted(str(note.parent) for note in path.parent.glob("*/config.json"))
    except OSError:
        found = []
    more = f" and {len(found) - MOST_RUNS} more" if len(found) > MOST_RUNS else ""
    return f"there are {', '.join(found[:MOST_RUNS])}{more}" if found else "`genus train` makes one"


def _plain(values: Mapping[str, Any]) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(dict(values)))


def _show(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "the default"


def _commit() -> str | None:
    """The commit of the package where it runs from a checkout, with a mark where that changed."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *_DESCRIBE],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
