"""One objective, one optimiser: gradient descent."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genus.engine import distributed
from genus.engine.algorithm import Algorithm, Info, Objective, State
from genus.engine.batches import Batch
from genus.engine.budget import Budget, Progress
from genus.engine.compiled import Compiles, refusal
from genus.engine.ema import EMA
from genus.engine.graphs import Graphs
from genus.engine.known import KnowsGradient, Traceable
from genus.engine.moves import Move, StepsWhole, moves
from genus.engine.optimisers import Optimiser, schedule_factor
from genus.engine.remembers import Remembers

__all__ = ["Descend", "detached", "update"]


class Descend(Algorithm, Compiles):
    """Minimises one objective over all parameters of the model.

    Args:
        objective: from model and batch to ``{"loss": ...}``; one that has a memory (a
            persistent chain) offers ``start``, ``state_dict`` and ``load_state_dict``, see
            :class:`~genus.engine.remembers.Remembers`. The gradient of one that knows it, see
            :class:`~genus.engine.known.KnowsGradient`, is taken as it stands.
        optimiser: what moves the parameters.
        batch_size: examples a step.
        accumulation: split each batch into this many parts, for large batches in little memory.
        ema: decay of the moving average that the model answers with, or None.
        budget: how long it learns where nobody says otherwise.
    """

    def __init__(
        self,
        objective: Objective,
        optimiser: Optimiser | None = None,
        *,
        batch_size: int = 128,
        accumulation: int = 1,
        ema: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        if batch_size < 1 or not 1 <= accumulation <= batch_size:
            raise ValueError(
                f"batch_size must be at least 1 and accumulation 1 to batch_size, "
                f"got {batch_size} and {accumulation}"
            )
        self.objective = objective
        self.settings = optimiser or Optimiser()
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.ema_decay = ema
        self.budget = budget or Budget(epochs=10)
        self._graphs: Graphs | None = None
        self._kept_rate: tuple[tuple[float, torch.dtype, torch.device], Tensor] | None = None
        if isinstance(objective, Remembers):
            self.sharded = tuple(f"objective.{name}" for name in objective.sharded)

    def compile(self, wanted: bool = True) -> None:
        """Has every step but the first compiled, which is the one that begins memories.

        Raises:
            ValueError: where no compiler could follow the objective, or batches come in parts.
        """
        if not wanted:
            self._graphs = None
            return
        if not isinstance(self.objective, Traceable):
            name = getattr(self.objective, "__name__", type(self.objective).__name__)
            raise ValueError(refusal(name))
        if self.accumulation > 1:
            raise ValueError(refusal(f"a batch in {self.accumulation} parts"))
        self._graphs = self._graphs or Graphs.of(self.objective)

    def start(self, model: nn.Module) -> None:
        """Builds the optimiser."""
        self.model = model
        self.optimiser = self.settings.build(model.parameters())
        self.ema = None if self.ema_decay is None else EMA(model, self.ema_decay)
        if isinstance(self.objective, Remembers):
            self.objective.start(model, self.batch_size)

    def step(self, batch: Batch, progress: Progress) -> Info:
        """One gradient step."""
        graphs = self._graphs if progress.step > 0 else None
        how = None if graphs is None else moves(self.settings, self.optimiser)
        if graphs is not None and how is not None:
            set_rate(self.optimiser, self.settings, progress.fraction)
            info = self._moved(graphs, batch, how)
        else:
            info = self._with_gradients(batch, graphs)
            update(self.optimiser, self.settings, progress.fraction)
        if self.ema is not None:
            self.ema.update()
        return detached(info)

    def _moved(self, graphs: Graphs, batch: Batch, how: Sequence[Move]) -> Info:
        """What is reported, after the parameters moved in one compiled piece."""
        info: Info | None = None
        if isinstance(self.objective, StepsWhole):
            rate = self.optimiser.param_groups[0]["lr"]
            info = self.objective.whole_step(self.model, batch, how, rate)
        if info is None:
            info = graphs.moved(self.model, batch, how, self._rate(how[0].parameter))
        return info

    def _with_gradients(self, batch: Batch, graphs: Graphs | None) -> Info:
        """The objective, and the gradient in every parameter."""
        if self.accumulation > 1:
            return self._accumulate(batch)
        if isinstance(self.objective, KnowsGradient):
            known = self.objective.known if graphs is None else graphs.known
            info, slopes = known(self.model, batch)
            for parameter, slope in slopes:
                if parameter.requires_grad:
                    parameter.grad = slope
            return info
        info = self.objective(self.model, batch)
        info["loss"].backward()
        return info

    def _rate(self, like: Tensor) -> Tensor:
        """The learning rate, as a tensor: compiled steps take a changing number only as such."""
        rate = self.optimiser.param_groups[0]["lr"]
        key = rate, like.dtype, like.device
        if self._kept_rate is None or self._kept_rate[0] != key:
            self._kept_rate = key, torch.full((), rate, dtype=like.dtype, device=like.device)
        return self._kept_rate[1]

    def _accumulate(self, batch: Batch) -> Info:
        """The gradient of the whole batch, part by part: Σ (nₖ/n) ∇Lₖ."""
        infos: list[Info] = []
        sizes = [len(part) for part in batch.x.chunk(self.accumulation)]
        conditions = [None] * len(sizes)
        if batch.condition is not None:
            conditions = list(batch.condition.split(sizes))
        for x, condition in zip(batch.x.split(sizes), conditions, strict=True):
            info = self.objective(self.model, Batch(x, condition))
            weight = len(x) / len(batch.x)
            (weight * info["loss"]).backward()
            infos.append({k: weight * v.detach() for k, v in info.items()})
        return {name: torch.stack([i[name] for i in infos]).sum(0) for name in infos[0]}

    def finish(self) -> None:
        """Puts the moving average into the model."""
        if self.ema is not None:
            self.ema.copy_to_module()

    def answers(self) -> dict[str, Tensor]:
        """The moving average, where there is one."""
        return {} if self.ema is None else self.ema.average

    def state_dict(self) -> State:
        """Optimiser, average and the objective's memory."""
        state: State = {"optimiser": self.optimiser.state_dict()}
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
        if isinstance(self.objective, Remembers):
            state["objective"] = self.objective.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if isinstance(self.objective, Remembers):
            self.objective.load_state_dict(state["objective"])


def update(optimiser: torch.optim.Optimizer, settings: Optimiser, fraction: float) -> None:
    """Averages the gradients over the processes, clips them, steps, and clears them.

    Weights longer than the settings allow are shortened after the step.
    """
    groups = optimiser.param_groups
    parameters = [p for group in groups for p in group["params"]]
    distributed.average_gradients(parameters)
    if settings.clip is not None:
        nn.utils.clip_grad_norm_(parameters, settings.clip)
    set_rate(optimiser, settings, fraction)
    optimiser.step()
    settings.shorten(parameters)
    for p in parameters:
        p.grad = None


def set_rate(optimiser: torch.optim.Optimizer, settings: Optimiser, fraction: float) -> None:
    """The learning rate that the schedule has at a fraction of the budget."""
    if settings.schedule != "constant":
        factor = schedule_factor(settings.schedule, fraction)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * factor


def detached(info: Info) -> Info:
    """The scalars without their history."""
    return {name: value.detach() for name, value in info.items()}
