"""What watches a run: a log, checkpoints, a bar, and anything that is due now and then."""

import json
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genus.engine import distributed
from genus.engine.algorithm import Info
from genus.engine.loop import WATCH_EVERY, Callback, Run

__all__ = ["Bar", "Checkpoints", "Every", "History", "Log", "Monitor"]

MONITORED_SHARE = 0.02
NEVER_ASKED = -1.0


class History(Callback):
    """Keeps the reported scalars in memory: ``rows`` of plain dictionaries.

    Args:
        every: steps between rows.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self.rows: list[dict[str, float]] = []

    def after_step(self, run: Run, info: Info) -> None:
        """Adds a row."""
        self.rows.append(_row(run, info))

    def after_epoch(self, run: Run, info: Info) -> None:
        """Adds a row where the algorithm reports something at the end of an epoch."""
        if info:
            self.rows.append(_row(run, info))


class Monitor(Callback):
    """Measures scalars for the :class:`Log` that asks it now and then, and changes nothing."""

    @abstractmethod
    def report(self, run: Run) -> Info:
        """The scalars of now, by name; none where there is nothing to say yet."""


class Log(Callback):
    """Writes the reported scalars to a file, one JSON object a line.

    Each monitor is asked at the first two lines, at the last step, and in between so seldom
    that all of them take at most about 2 % of the time of training. A resumed run drops the
    lines that the checkpoint had not reached.

    Args:
        path: the file.
        every: steps between lines.
        monitors: whose scalars join those of the algorithm.
    """

    def __init__(self, path: Path, every: int = 50, monitors: Sequence[Monitor] = ()) -> None:
        self.path = path
        self.every = every
        self.monitors = tuple(monitors)
        self.due = [NEVER_ASKED] * len(self.monitors)

    def start(self, run: Run) -> None:
        """Drops lines of steps that will be taken again."""
        self.due = [NEVER_ASKED] * len(self.monitors)
        if distributed.rank() == 0 and self.path.exists():
            lines = self.path.read_text().splitlines()
            reached = (run.progress.step, run.progress.epoch)
            kept = [line for line in lines if _reached(line) <= reached]
            self.path.write_text("".join(f"{line}\n" for line in kept))

    def after_step(self, run: Run, info: Info) -> None:
        """Adds a line."""
        if distributed.rank() == 0:
            self._write(run, {**info, **self._monitored(run)})

    def after_epoch(self, run: Run, info: Info) -> None:
        """Adds a line where the algorithm reports something at the end of an epoch."""
        if info:
            self.after_step(run, info)

    def stop(self, run: Run) -> None:
        """Adds a line of what all monitors say of the last step."""
        if self.monitors and distributed.rank() == 0:
            self.due = [0.0] * len(self.monitors)
            self._write(run, self._monitored(run))

    def _write(self, run: Run, info: Info) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(_row(run, info)) + "\n")

    def _monitored(self, run: Run) -> Info:
        """What the monitors say whose turn it is; the dearer one is, the later its next turn.

        The first time is a warm-up, whose cost says nothing of the others.
        """
        found: Info = {}
        for number, monitor in enumerate(self.monitors):
            due = self.due[number]
            if run.progress.seconds < due:
                continue
            clock = time.perf_counter()
            found |= monitor.report(run)
            cost = 0.0 if due == NEVER_ASKED else time.perf_counter() - clock
            share = MONITORED_SHARE / len(self.monitors)
            self.due[number] = run.progress.seconds + cost / share
        return found


class Checkpoints(Callback):
    """Saves the run now and then, and at its end; first where its loss is first found finite.

    So a run that diverges later leaves a checkpoint behind, however soon that is.

    Args:
        path: the one file that a resume needs.
        seconds: at most this long between two checkpoints.
        steps: at most this many steps between two checkpoints, or None.
        beside: called after each save, such as to write the answering model.
    """

    def __init__(
        self,
        path: Path,
        *,
        seconds: float = 60.0,
        steps: int | None = None,
        beside: Callable[[Run], None] | None = None,
    ) -> None:
        self.path, self.seconds, self.steps, self.beside = path, seconds, steps, beside
        self.every = 1 if steps is None or steps < 10 else min(10, steps)

    def start(self, run: Run) -> None:
        """Starts the clock."""
        self.last_time, self.last_step = time.monotonic(), run.progress.step
        self.none_yet = not self.path.exists()

    def after_step(self, run: Run, info: Info) -> None:
        """Saves where it is due; processes agree on it."""
        due = time.monotonic() - self.last_time >= self.seconds
        due |= self.none_yet and run.progress.step >= WATCH_EVERY
        due |= self.steps is not None and run.progress.step - self.last_step >= self.steps
        if distributed.agree(due, run.device):
            self._save(run)
            self._beside(run)

    def stop(self, run: Run) -> None:
        """Saves the last state, from which a larger budget can go on."""
        self._save(run)

    def end(self, run: Run) -> None:
        """Writes what stands beside it, now that the model is ready to answer."""
        self._beside(run)

    def _save(self, run: Run) -> None:
        run.save(self.path)
        self.last_time, self.last_step = time.monotonic(), run.progress.step
        self.none_yet = False

    def _beside(self, run: Run) -> None:
        if self.beside is not None and distributed.rank() == 0:
            self.beside(run)


class Every(Callback):
    """Calls a function after every so many seconds of training and at the end.

    Args:
        seconds: between calls.
        function: called with the run.
    """

    every = 10

    def __init__(self, seconds: float, function: Callable[[Run], None]) -> None:
        self.seconds, self.function = seconds, function

    def start(self, run: Run) -> None:
        """Starts the clock."""
        self.last = run.progress.seconds

    def after_step(self, run: Run, info: Info) -> None:
        """Calls the function where it is due."""
        if run.progress.seconds - self.last >= self.seconds:
            self.last = run.progress.seconds
            if distributed.rank() == 0:
                self.function(run)

    def end(self, run: Run) -> None:
        """Calls the function once more."""
        if distributed.rank() == 0:
            self.function(run)


class Bar(Callback):
    """A progress bar with the loss, the speed and the time that is left.

    Args:
        label: what stands before the bar.
        console: a rich console; standard error by default.
    """

    every = 5

    def __init__(self, label: str = "training", console: Any = None) -> None:
        self.label, self.console = label, console

    def start(self, run: Run) -> None:
        """Shows the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = self.console or Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=distributed.rank() != 0 or not self.console.is_terminal,
        )
        self.task = self.bar.add_task(self.label, total=1.0, note="")
        self.bar.start()
        self.last = 0.0

    def after_step(self, run: Run, info: Info) -> None:
        """Moves the bar, at most five times a second."""
        now = time.monotonic()
        if self.bar.disable or now - self.last < 0.2:
            return
        self.last = now
        progress = run.progress
        left = progress.seconds_left
        rate = progress.examples / max(progress.seconds, 1e-9)
        note = f"loss {float(info['loss']):.4g}  {rate:,.0f}/s"
        if left is not None:
            note += f"  {int(left) // 60}:{int(left) % 60:02d} left"
        self.bar.update(self.task, completed=progress.fraction, note=note)

    def end(self, run: Run) -> None:
        """Removes the bar."""
        self.bar.stop()


def _row(run: Run, info: Info) -> dict[str, float]:
    place = {
        "step": run.progress.step,
        "epoch": run.progress.epoch,
        "seconds": round(run.progress.seconds, 4),
        "examples": run.progress.examples,
    }
    return {**place, **{name: float(value) for name, value in info.items()}}


def _reached(line: str) -> tuple[float, float]:
    """Step and epoch of a line: the line that closes an epoch has the step of the last one."""
    try:
        row = json.loads(line)
        return float(row["step"]), float(row["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf"), float("inf")
