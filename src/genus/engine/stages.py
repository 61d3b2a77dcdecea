"""One algorithm after another on parts of a model: greedy layers, or codes and then their prior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from genus.engine.algorithm import Algorithm, Info, State
from genus.engine.batches import Batch
from genus.engine.budget import Progress
from genus.engine.compiled import Compiles, compile_steps

__all__ = ["Stage", "Stages"]


@dataclass(frozen=True)
class Stage:
    """A part of a model and how it learns.

    Attributes:
        part: from the whole model to the part that learns now.
        algorithm: how it learns.
        share: of the whole budget, relative to the other stages.
        view: from the whole model and a batch to what the part sees (the codes of the layers
            below); drawn without gradients. None shows the data themselves.
    """

    part: Callable[[Any], nn.Module]
    algorithm: Algorithm
    share: float = 1.0
    view: Callable[[Any, Batch], Batch] | None = None


class Stages(Algorithm, Compiles):
    """Runs its stages in order, each for its share of the budget.

    A stage ends when its share is spent or its algorithm has finished. Each stage sees a
    progress of its own, so that its learning-rate schedule runs from start to end.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        if not stages or any(not stage.share > 0 for stage in stages):
            raise ValueError("Stages needs at least one stage, each with a positive share")
        self.stages = tuple(stages)
        shares = torch.tensor([stage.share for stage in stages], dtype=torch.float64)
        self.ends = (shares.cumsum(0) / shares.sum()).tolist()
        self.ends[-1] = 1.0
        self.batch_size = max(stage.algorithm.batch_size for stage in stages)
        self.uses_every_example = any(s.algorithm.uses_every_example for s in stages)
        self.budget = stages[-1].algorithm.budget

    def compile(self, wanted: bool = True) -> None:
        """Has the steps of those stages compiled that can be; ValueError where none can."""
        problems = []
        for stage in self.stages:
            try:
                compile_steps(stage.algorithm, wanted)
            except ValueError as problem:
                problems.append(problem)
        if len(problems) == len(self.stages):
            raise problems[0]

    def start(self, model: nn.Module) -> None:
        """Starts the first stage."""
        self.model = model
        self.finished = False
        self._enter(0, Progress())

    @property
    def sharded(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the current stage."""
        return tuple(f"algorithm.{name}" for name in self.stages[self.number].algorithm.sharded)

    def _enter(self, number: int, progress: Progress) -> None:
        self.number = number
        self.entered = progress.fraction
        self.first_step, self.first_epoch = progress.step, progress.epoch
        stage = self.stages[number]
        stage.algorithm.start(stage.part(self.model))

    def _local(self, progress: Progress) -> Progress:
        """The progress within the current stage; its fraction is that of the stage's share."""
        width = self.ends[self.number] - self.entered
        inside = (progress.fraction - self.entered) / width if width > 0 else 1.0
        return replace(
            progress,
            step=progress.step - self.first_step,
            epoch=progress.epoch - self.first_epoch,
            seconds=inside,
            total_steps=None,
            total_seconds=1.0,
        )

    def step(self, batch: Batch, progress: Progress) -> Info:
        """A step of the current stage."""
        stage = self.stages[self.number]
        over = stage.algorithm.finished or progress.fraction >= self.ends[self.number]
        if over and self.number + 1 < len(self.stages):
            stage.algorithm.finish()
            self._enter(self.number + 1, progress)
            stage = self.stages[self.number]
        if stage.view is not None:
            with torch.no_grad():
                batch = stage.view(self.model, batch)
        info = stage.algorithm.step(batch, self._local(progress))
        return {**info, "stage": torch.tensor(float(self.number))}

    def end_epoch(self, progress: Progress) -> Info:
        """Passed on to the current stage."""
        algorithm = self.stages[self.number].algorithm
        info = algorithm.end_epoch(self._local(progress))
        self.finished = algorithm.finished and self.number + 1 == len(self.stages)
        return info

    def finish(self) -> None:
        """Finishes the current stage."""
        self.stages[self.number].algorithm.finish()

    def answers(self) -> dict[str, Tensor]:
        """What the current stage answers with, under the names of the whole model."""
        stage = self.stages[self.number]
        part = stage.part(self.model)
        prefix = next(name for name, module in self.model.named_modules() if module is part)
        answers = stage.algorithm.answers()
        return {f"{prefix}.{name}" if prefix else name: v for name, v in answers.items()}

    def state_dict(self) -> State:
        """Which stage, since when, and its memory."""
        return {
            "number": self.number,
            "entered": self.entered,
            "first_step": self.first_step,
            "first_epoch": self.first_epoch,
            "algorithm": self.stages[self.number].algorithm.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self._enter(int(state["number"]), Progress())
        self.entered = float(state["entered"])
        self.first_step, self.first_epoch = int(state["first_step"]), int(state["first_epoch"])
        algorithm = self.stages[self.number].algorithm
        algorithm.load_state_dict(state["algorithm"])
        self.finished = algorithm.finished and self.number + 1 == len(self.stages)
