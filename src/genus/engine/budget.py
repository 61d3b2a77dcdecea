"""How long to learn, and how far a run has come."""

from dataclasses import dataclass, field

__all__ = ["Budget", "Progress"]


@dataclass(frozen=True)
class Budget:
    """A limit in epochs, steps or seconds; the first one reached ends the run.

    A budget in epochs or steps gives the same result every time; one in seconds is fair
    between models and depends on the machine.
    """

    epochs: float | None = None
    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        limits = {"epochs": self.epochs, "steps": self.steps, "seconds": self.seconds}
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise ValueError(f"the budget's {name} must be positive, got {limit}")
        if all(limit is None for limit in limits.values()):
            raise ValueError("a budget needs a limit: epochs, steps or seconds")

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """The number of steps that epochs and steps allow, or None where only time counts."""
        limits = [] if self.steps is None else [self.steps]
        if self.epochs is not None:
            limits.append(max(1, round(self.epochs * steps_per_epoch)))
        return min(limits, default=None)


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: steps done.
        epoch: whole epochs done.
        step_in_epoch: steps done in the current one.
        seconds: training time, kept across resumes.
        examples: examples seen by all processes together.
        total_steps: the limit in steps, or None.
        total_seconds: the limit in seconds, or None.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    seconds: float = 0.0
    examples: int = 0
    total_steps: int | None = field(default=None, compare=False)
    total_seconds: float | None = field(default=None, compare=False)

    @property
    def fraction(self) -> float:
        """Share of the budget that is spent, 0 to 1: what learning-rate schedules follow."""
        parts = [0.0]
        if self.total_steps is not None:
            parts.append(self.step / self.total_steps)
        if self.total_seconds is not None:
            parts.append(self.seconds / self.total_seconds)
        return min(1.0, max(parts))

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self.fraction >= 1.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate of the time that is left, once there is something to judge by."""
        if self.fraction <= 0.0:
            return self.total_seconds
        return self.seconds * (1.0 / self.fraction - 1.0)
