"""Training a recipe into a folder: stopped at any moment, it goes on where it stood."""

import contextlib
import math
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from genus.engine import Algorithm, Callback, Info, Progress, Run, checkpoint, distributed, run
from genus.engine.callbacks import Bar, Checkpoints, Log
from genus.engine.loop import Precision, resolve_device
from genus.evaluation.samplers import sampler_of
from genus.model import Model
from genus.recipes.pictures import save_picture, save_samples
from genus.recipes.recipe import Recipe
from genus.recipes.runs import describe, differences
from genus.recipes.watching import monitors_of
from genus.spaces import Categorical

__all__ = ["InterruptedRunError", "check_folder", "check_writable", "labels_for", "train"]

TRAINING = "training.safetensors"


class InterruptedRunError(RuntimeError):
    """The run was asked to stop; what it had learnt is saved."""


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    precision: Precision = "float32",
    compiled: bool = False,
    checkpoint_seconds: float = 30.0,
    console: Any = None,
    label: str | None = None,
    samples: int = 36,
) -> Progress:
    """Trains a recipe and keeps everything in one folder.

    The folder then holds ``config.json`` and ``model.safetensors`` (what :func:`genus.load`
    reads), ``training.safetensors`` (what a resume needs), ``log.jsonl``, ``samples/`` and, where
    the recipe has pictures of its own, ``pictures/``.
    Every file is written whole or not at all, and a run that fails before its first checkpoint
    leaves nothing. Under ``torchrun`` the first process writes.

    Args:
        recipe: from :func:`genus.recipes.build`.
        folder: new or empty, or with ``resume`` that of the run.
        resume: go on where the run stands, or begin where nothing is there yet.
        device: "auto" takes a GPU where there is one.
        precision: "float32" or "bf16".
        compiled: fuse each step by ``torch.compile``, where the algorithm can.
        checkpoint_seconds: at most this much is lost where the machine fails.
        console: a rich console for the progress bar.
        label: what stands before the bar.
        samples: how many to draw for each picture; 0 draws none.

    Returns:
        How far the run came.

    Raises:
        ValueError: where the folder is in use, or holds another run, or the steps cannot be
            compiled.
        InterruptedRunError: where SIGINT or SIGTERM stopped it, after saving.
        NotFiniteError: where the loss stopped being finite; the last good checkpoint stays.
        OSError: where a file cannot be written; the last good checkpoint stays.
    """
    path, place = Path(folder), resolve_device(device)
    notes = describe(recipe, precision, compiled=compiled)
    joined = distributed.join(place)
    bar = Bar(label or recipe.name, console)
    writer = _Writer(recipe, path, notes, samples)
    stop = _Stop(path, writer.write_model)
    monitors = monitors_of(recipe)
    log = Log(path / "log.jsonl", every=10, monitors=monitors)
    saved = Checkpoints(path / TRAINING, seconds=checkpoint_seconds, beside=writer.write_model)
    try:
        with _nothing_left(path), stop.listening(), _closing(bar):
            _enter(recipe, path, notes, resume=resume, place=place)
            going_on = resume and (path / TRAINING).exists()
            return run(
                recipe.model,
                recipe.data.train,
                recipe.algorithm,
                budget=recipe.budget,
                seed=recipe.seed,
                callbacks=(*monitors, log, saved, stop, writer, bar),
                device=place,
                precision=precision,
                compiled=compiled,
                resume=path / TRAINING if going_on else None,
            )
    finally:
        if joined:
            distributed.leave()


def check_folder(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    precision: Precision = "float32",
    compiled: bool = False,
) -> None:
    """Raises ValueError where :func:`train` could not use this folder; writes nothing."""
    notes = describe(recipe, precision, compiled=compiled)
    problem = _problem(recipe, Path(folder), notes, resume=resume)
    if problem is not None:
        raise ValueError(problem)


def check_writable(folder: str | Path) -> None:
    """Raises ValueError where no folder could be made there; leaves no trace."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".genus-"):
            pass
    except OSError as error:
        raise ValueError(
            f"cannot write into {place}: {error.strerror}; choose another folder with --out"
        ) from error


def labels_for(model: Model, n: int) -> Tensor | None:
    """What n samples are conditioned on where nobody says: each class in turn."""
    space = model.condition
    if space is None:
        return None
    if isinstance(space, Categorical) and space.shape == ():
        return torch.arange(n) % space.num_categories
    return space.random(n)


def _enter(
    recipe: Recipe, path: Path, notes: dict[str, Any], *, resume: bool, place: torch.device
) -> None:
    """Checks the folder and writes the model as it begins; processes agree before any writes."""
    problem = _problem(recipe, path, notes, resume=resume)
    if distributed.agree(problem is not None, place):
        raise ValueError(problem or f"{path} cannot be used, see the first process")
    if distributed.rank() == 0:
        _prepare(recipe, path, notes)
    distributed.agree(False, place)


def _problem(recipe: Recipe, path: Path, notes: dict[str, Any], *, resume: bool) -> str | None:
    """Why the run cannot live in this folder, or None."""
    if not path.exists():
        return None
    if not path.is_dir():
        return f"{path} is a file; a run needs a folder"
    if not _holds_files(path):
        return None
    if not resume:
        return f"{path} is not empty; go on with --resume, or choose another folder with --out"
    if not (path / "config.json").exists():
        return f"{path} holds other files and no run; choose another folder with --out"
    before = checkpoint.read_json(path / "config.json")
    changed = differences(before, {**notes, "class": type(recipe.model).__name__})
    if changed:
        return f"{path} is of another run: {'; '.join(changed)}"
    return None


def _prepare(recipe: Recipe, path: Path, notes: dict[str, Any]) -> None:
    """Makes the folder, and writes the model as it begins."""
    path.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors", TRAINING):
        for leftover in path.glob(f".{name}.*"):
            if leftover.is_file():
                leftover.unlink()
    if not (path / TRAINING).exists():
        recipe.model.save(path, **notes)


def _holds_files(path: Path) -> bool:
    """Whether there is anything at all beside hidden files."""
    return path.exists() and any(not item.name.startswith(".") for item in path.iterdir())


@contextlib.contextmanager
def _nothing_left(path: Path) -> Iterator[None]:
    """Where a new run fails before its first checkpoint, the next one finds no folder in use."""
    made = not path.exists()
    in_use = not made and (not path.is_dir() or _holds_files(path))
    try:
        yield
    except BaseException:
        if not in_use and distributed.rank() == 0 and not (path / TRAINING).exists():
            for name in ("config.json", "model.safetensors", "log.jsonl"):
                (path / name).unlink(missing_ok=True)
            for drawn in (path,) if made else (path / "samples", path / "pictures"):
                shutil.rmtree(drawn, ignore_errors=True)
        raise


class _Writer(Callback):
    """Writes the answering model beside each checkpoint, samples, and the recipe's pictures.

    Pictures are drawn so that they take at most a tenth of the training time.
    """

    every = 10

    def __init__(self, recipe: Recipe, path: Path, notes: dict[str, Any], samples: int) -> None:
        self.recipe, self.path, self.notes, self.samples = recipe, path, notes, samples
        self.due = 5.0

    def start(self, run: Run) -> None:
        """The first picture comes after a few seconds."""
        self.due = run.progress.seconds + 5.0

    def write_model(self, run: Run) -> None:
        """Writes ``config.json`` and ``model.safetensors``."""
        reached = {"step": run.progress.step, "seconds": round(run.progress.seconds, 3)}
        with _answering(self.recipe.model, run.algorithm):
            self.recipe.model.save(self.path, **self.notes, reached=reached)

    def after_step(self, run: Run, info: Info) -> None:
        """Draws samples where a picture is due."""
        if run.progress.seconds < self.due or distributed.rank() > 0:
            return
        clock = time.perf_counter()
        if math.isfinite(float(info["loss"])):
            with _answering(self.recipe.model, run.algorithm):
                self._draw(run)
        cost = time.perf_counter() - clock
        self.due = run.progress.seconds + max(10.0 * cost, 15.0, run.progress.seconds / 2)

    def end(self, run: Run) -> None:
        """Draws the last picture."""
        if distributed.rank() == 0:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        if self.samples < 1:
            return
        model, data = self.recipe.model, self.recipe.data
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        drawn = sampler_of(model, data).draw(self.samples, 0)
        kind = "png" if data.kind == "image" else "npy"
        save_samples(folder / f"step-{run.progress.step:06d}.{kind}", drawn.cpu(), data)
        for name, draw in self.recipe.pictures.items():
            (self.path / "pictures").mkdir(exist_ok=True)
            save_picture(self.path / "pictures" / f"{name}.png", draw())


class _Stop(Callback):
    """Ends the run at the next step once a signal has asked for it, and saves."""

    def __init__(self, path: Path, beside: Callable[[Run], None]) -> None:
        self.path, self.beside = path, beside
        self.asked = False

    def start(self, run: Run) -> None:
        """Alone we can stop after any step; several processes agree now and then."""
        self.every = 1 if distributed.world() == 1 else 10

    def after_step(self, run: Run, info: Info) -> None:
        """Saves and raises where a signal came."""
        if distributed.agree(self.asked, run.device):
            run.save(self.path / TRAINING)
            if distributed.rank() == 0:
                self.beside(run)
            raise InterruptedRunError(
                f"stopped at step {run.progress.step}; {self.path} is saved, go on with --resume"
            )

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes SIGINT and SIGTERM; a second one ends the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in signals}

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        for number in signals:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number in signals:
                signal.signal(number, before[number])


@contextlib.contextmanager
def _answering(model: Model, algorithm: Algorithm) -> Iterator[None]:
    """Inside, the model holds what it would answer with now; afterwards what is trained."""
    answers = algorithm.answers()
    held = {name: value for name, value in model.state_dict().items() if name in answers}
    kept = {name: value.clone() for name, value in held.items()}
    with torch.no_grad():
        for name, value in held.items():
            value.copy_(answers[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in held.items():
                value.copy_(kept[name])


@contextlib.contextmanager
def _closing(bar: Bar) -> Iterator[None]:
    """Removes the bar however the run ends."""
    try:
        yield
    finally:
        started = vars(bar).get("bar")
        if started is not None:
            started.stop()
