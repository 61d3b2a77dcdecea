"""``genus reproduce``: a recipe at its full budget, judged and recorded."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from genus import recipes
from genus.cli.judging import judge
from genus.cli.options import Device, Folder, Json, Seed
from genus.cli.output import print_json, progress_console, say
from genus.cli.train import BudgetText, RecipeName, Settings, default_folder, prepare
from genus.engine.loop import resolve_device
from genus.evaluation import Effort
from genus.evaluation.evaluate import QUICK_PARTS
from genus.recipes.budgets import parse_budget
from genus.recipes.recipe import Full
from genus.recipes.results import write_results
from genus.recipes.runs import open_run

__all__ = ["command"]

ALL = 10**9


def command(
    recipe: RecipeName,
    settings: Settings = (),
    budget: BudgetText = None,
    precision: Annotated[
        Literal["float32", "bf16"] | None,
        tyro.conf.arg(help="That of the printed figure by default.", help_behavior_hint=""),
    ] = None,
    compiled: bool = False,
    n: Annotated[
        int, tyro.conf.arg(name="num", aliases=("-n",), help="Test examples; all by default.")
    ] = ALL,
    seed: Seed = 0,
    device: Device = "auto",
    out: Folder = None,
    results: str = "results",
    json: Json = False,
) -> None:
    """Trains a recipe on its own data at its full budget, evaluates it and records the figures.

    The full budget, and the settings, precision and effort that go with it, are those behind the
    printed figure where the recipe has one. Called again it goes on with a run that was stopped.

    Args:
        recipe: name of a recipe.
        settings: of the recipe.
        budget: another one than the full one.
        precision: of matrix products.
        compiled: compile the steps of an RBM or its deep networks.
        n: test examples for the likelihood.
        seed: of everything random.
        device: where to train.
        out: the run folder.
        results: folder for RECIPE.json.
        json: print the record as JSON.
    """
    full = recipes.find(recipe).full
    limit = full.budget if budget is None else parse_budget(budget)
    built = prepare(recipe, None, None, completed(settings, full), seed)
    if limit is not None:
        built = dataclasses.replace(built, budget=limit)
    folder = default_folder(recipe, None) if out is None else Path(out)
    chosen, console = precision or full.precision, progress_console()
    recipes.train(
        built,
        folder,
        resume=True,
        device=device,
        precision=chosen,
        compiled=compiled,
        console=console,
    )
    opened = open_run(folder, device=str(resolve_device(device)))
    opened = opened.annealed(full.temperatures, full.chains)
    record, _ = judge(opened, None, None, _effort(n, full), seed)
    given = {"budget": budget, "precision": precision, "num": None if n == ALL else n, "out": out}
    given["device"] = None if device == "auto" else device
    record["command"] = _typed(recipe, seed, settings, given) + " --compiled" * compiled
    path = write_results(Path(results), record)
    if json:
        print_json(record)
    else:
        say(f"{path}")


def completed(settings: tuple[str, ...], full: Full) -> tuple[str, ...]:
    """The settings that were given, and those of the full run for which none was."""
    given = {pair.partition("=")[0].strip().replace("-", "_") for pair in settings}
    return (*(f"{k}={v}" for k, v in full.settings.items() if k not in given), *settings)


def _effort(n: int, full: Full) -> Effort:
    """What is spent on the figures."""
    return Effort(
        likelihood_examples=n,
        likelihood_effort=full.effort,
        likelihood_seconds=3600.0,
        samples=10_000,
        sample_seconds=600.0,
        parts=(*QUICK_PARTS, "layers"),
    )


def _typed(recipe: str, seed: int, settings: tuple[str, ...], given: dict[str, Any]) -> str:
    """The command that does this again."""
    command = ["genus", "reproduce", recipe, "--seed", str(seed)]
    for setting in settings:
        command += ["--set", setting]
    for key, value in given.items():
        command += [] if value is None else [f"--{key}", str(value)]
    return shlex.join(command)
