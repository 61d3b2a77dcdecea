"""``genus train``: a recipe into a run folder."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

from genus import recipes
from genus.cli.complete import default_mask
from genus.cli.options import Data, Device, Folder, Loading, Seed, View
from genus.cli.output import console, count, progress_console
from genus.engine import Budget, Progress, checkpoint
from genus.engine.compiled import check_compiled
from genus.engine.loop import resolve_device
from genus.model import Completes
from genus.recipes.budgets import describe_budget, parse_budget
from genus.recipes.running import check_folder, check_writable
from genus.recipes.runs import is_first_process
from genus.report.curves import save_curves

__all__ = ["command", "default_folder", "prepare"]

RecipeName = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RECIPE", help="Name of a recipe, see genus list; or NAME@DATA."),
]
Settings = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        name="set",
        metavar="KEY=VALUE",
        help="A setting of the recipe; may be repeated.",
        help_behavior_hint="",
    ),
]
BudgetText = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="60s|5m|1000steps|3epochs",
        help="How long to train; by default what the recipe says.",
        help_behavior_hint="",
    ),
]
Epochs = Annotated[
    str | None,
    tyro.conf.arg(metavar="N", help="Short for --budget Nepochs.", help_behavior_hint=""),
]


def command(
    recipe: RecipeName,
    data: Data = None,
    view: View = None,
    loading: Loading = (),
    settings: Settings = (),
    budget: BudgetText = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Literal["float32", "bf16"] = "float32",
    compiled: bool = False,
    out: Folder = None,
    resume: bool = False,
) -> None:
    """Trains a recipe into a run folder, runs/RECIPE or with --data runs/RECIPE@DATA by default.

    A run that is stopped in any way goes on with --resume where it stood. At its end the folder
    also holds curves.png, the learning curves.

    Args:
        recipe: name of a recipe.
        data: name of a data set, or path of your own data.
        view: of images.
        loading: options for the loader of your own data.
        settings: of the recipe.
        budget: how long.
        epochs: short for a budget in epochs.
        seed: of everything random.
        device: where to train.
        precision: bf16 is faster where the hardware knows it.
        compiled: compile the steps of RBMs and their deep networks; pays in runs of minutes.
        out: the run folder.
        resume: go on with the run in the folder.
    """
    folder = Path(out) if out is not None else default_folder(recipe, data)
    limit = _limit(budget, epochs)
    if resume and not (folder / "config.json").exists():
        raise ValueError(
            f"there is nothing to resume in {folder}; begin without --resume, or name the folder "
            "of the run with --out"
        )
    built = prepare(recipe, data, view, settings, seed, loading)
    kept = limit or (_kept_budget(folder) if resume else None) or built.budget
    built = dataclasses.replace(built, budget=kept)
    place = resolve_device(device)
    if compiled:
        check_compiled(built.algorithm, place)
    check_folder(built, folder, resume=resume, precision=precision, compiled=compiled)
    check_writable(folder)
    started = time.perf_counter()
    label = f"{recipe} on {built.data.base.name}"
    if is_first_process():
        progress_console().print(
            f"{label}, {describe_budget(kept)}, {count(built.data.train.num_examples)} examples"
        )
    progress = recipes.train(
        built,
        folder,
        resume=resume,
        device=device,
        precision=precision,
        compiled=compiled,
        console=progress_console(),
        label=label,
    )
    if is_first_process():
        save_curves(folder / "log.jsonl", folder / "curves.png")
        _conclude(built, folder, progress, time.perf_counter() - started)


def prepare(
    recipe: str,
    data: str | None,
    view: str | None,
    settings: tuple[str, ...],
    seed: int,
    loading: tuple[str, ...] = (),
) -> recipes.Recipe:
    """The recipe, checked and built; the cheap checks come before the data are read.

    Raises:
        ValueError: where recipe, settings, seed or data are wrong.
    """
    entry = recipes.find(recipe)
    parsed = recipes.parse_settings(entry, settings)
    options = recipes.parse_loading(loading)
    if not 0 <= seed < 2**63:
        raise ValueError(f"the seed must be 0 to 2^63 - 1, got {seed}")
    dataset = recipes.data_for(entry, data, view, options)
    built = recipes.build(recipe, dataset, seed=seed, **parsed)
    return dataclasses.replace(built, loading=recipes.loading_of(entry, data, options))


def default_folder(recipe: str, data: str | None) -> Path:
    """``runs/RECIPE``, with the name of other data behind an @."""
    name = recipe if data is None else f"{recipe.split('@')[0]}@{Path(data).stem or 'data'}"
    return Path("runs") / name


def _limit(budget: str | None, epochs: str | None) -> Budget | None:
    if budget is not None and epochs is not None:
        raise ValueError("give --budget or --epochs, not both")
    if epochs is not None:
        try:
            number = float(epochs)
        except ValueError:
            number = math.inf
        if math.isinf(number):
            raise ValueError(f"--epochs must be a number such as 3 or 0.5, got {epochs!r}")
        return Budget(epochs=number)
    return None if budget is None else parse_budget(budget)


def _kept_budget(folder: Path) -> Budget | None:
    """What the run in a folder was asked for."""
    if not (folder / "config.json").exists():
        return None
    kept = checkpoint.read_json(folder / "config.json").get("budget")
    return None if kept is None else Budget(**kept)


def _conclude(built: recipes.Recipe, folder: Path, progress: Progress, seconds: float) -> None:
    rate = progress.examples / max(progress.seconds, 1e-9)
    page = console()
    page.print(
        f"[bold]done[/]  {count(progress.step)} steps, {count(progress.examples)} examples, "
        f"{count(rate)} examples/s, {seconds:.1f} s"
    )
    page.print(f"{folder}", markup=False, soft_wrap=True)
    following = [f"evaluate {folder}", f"sample {folder} -n 64"]
    if isinstance(built.model, Completes):
        following.append(f"complete {folder} --mask {default_mask(built.model.space)}")
    for line in following:
        page.print(f"  genus {line}", markup=False, style="dim", soft_wrap=True)
