"""Players in turn: critic and generator, wake and sleep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from genus.engine import distributed
from genus.engine.algorithm import Algorithm, Info, State
from genus.engine.batches import Batch
from genus.engine.budget import Budget, Progress
from genus.engine.descend import detached, update
from genus.engine.ema import EMA
from genus.engine.optimisers import Optimiser

__all__ = ["Alternate", "Player"]


@dataclass(frozen=True)
class Player:
    """One side of a game.

    Attributes:
        name: prefix of what it reports, and its key in checkpoints.
        parameters: from the model to the module that this player moves (scaffolding of the
            algorithm, such as a critic, is closed over).
        objective: from model and batch to ``{"loss": ...}``, which this player minimises.
        optimiser: what moves its parameters.
        every: plays on every step (1), every second (2), ...
    """

    name: str
    parameters: Callable[[Any], nn.Module]
    objective: Callable[[Any, Batch], Info]
    optimiser: Optimiser = field(default_factory=Optimiser)
    every: int = 1


class Alternate(Algorithm):
    """Each player in turn takes a gradient step on its own objective; the others stand still.

    Args:
        players: in order of play.
        scaffolding: modules that learn but belong to the algorithm, by name (the critic).
        batch_size: examples a step.
        ema: decay of the moving average of the model, or None.
        budget: how long it learns where nobody says otherwise.
    """

    def __init__(
        self,
        players: Sequence[Player],
        *,
        scaffolding: dict[str, nn.Module] | None = None,
        batch_size: int = 128,
        ema: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        if not players or len({player.name for player in players}) < len(players):
            raise ValueError("Alternate needs players, each with a name of its own")
        if all(player.every > 1 for player in players):
            raise ValueError("one player at least must play on every step: every=1")
        self.players = tuple(players)
        self.scaffolding = nn.ModuleDict(scaffolding or {})
        self.batch_size = batch_size
        self.ema_decay = ema
        self.budget = budget or Budget(epochs=10)

    def start(self, model: nn.Module) -> None:
        """Moves the scaffolding to the model's device and builds an optimiser a player."""
        example = next(model.parameters())
        self.model = model
        self.scaffolding.to(example.device).train()
        distributed.broadcast(self.scaffolding.state_dict().values())
        self.modules = {p.name: p.parameters(model) for p in self.players}
        for module in self.modules.values():
            module.requires_grad_(True)
        self.optimisers = {
            p.name: p.optimiser.build(self.modules[p.name].parameters()) for p in self.players
        }
        self.ema = None if self.ema_decay is None else EMA(model, self.ema_decay)

    def step(self, batch: Batch, progress: Progress) -> Info:
        """Every player whose turn it is."""
        report: Info = {}
        for player in self.players:
            if progress.step % player.every:
                continue
            self._only(player.name)
            info = player.objective(self.model, batch)
            info["loss"].backward()
            update(self.optimisers[player.name], player.optimiser, progress.fraction)
            report |= {f"{player.name}_{name}": value for name, value in detached(info).items()}
        if self.ema is not None:
            self.ema.update()
        steady = next(player for player in self.players if player.every == 1)
        report["loss"] = report[f"{steady.name}_loss"]
        return report

    def _only(self, name: str) -> None:
        """Gradients flow to one player's parameters alone."""
        for module in self.modules.values():
            module.requires_grad_(False)
        self.modules[name].requires_grad_(True)

    def finish(self) -> None:
        """Puts the moving average into the model."""
        for module in self.modules.values():
            module.requires_grad_(True)
        if self.ema is not None:
            self.ema.copy_to_module()

    def answers(self) -> dict[str, Tensor]:
        """The moving average, where there is one."""
        return {} if self.ema is None else self.ema.average

    def state_dict(self) -> State:
        """Scaffolding, optimisers and average."""
        state: State = {
            "scaffolding": self.scaffolding.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        self.scaffolding.load_state_dict(state["scaffolding"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
