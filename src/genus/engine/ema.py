"""Exponential moving averages of parameters: what many models answer with."""

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA:
    """The moving average θ̄ ← βₜ θ̄ + (1 − βₜ) θ of a module's parameters and float buffers.

    The decay ramps up as βₜ = min(β, (1 + t) / (10 + t)), so that the average forgets the
    initialisation at once (the ramp of TensorFlow's ``ExponentialMovingAverage``).

    Args:
        module: whose state is averaged.
        decay: β, 0 ≤ β < 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.num_updates = 0
        state = {k: v for k, v in module.state_dict(keep_vars=True).items()}
        self._live = {k: v for k, v in state.items() if v.is_floating_point()}
        self.average = {k: v.detach().clone() for k, v in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the parameters, in one fused operation."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        torch._foreach_lerp_(
            list(self.average.values()),
            [v.detach() for v in self._live.values()],
            1.0 - decay,
        )

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Replaces the module's parameters by their average."""
        for name, value in self._live.items():
            value.copy_(self.average[name])

    def state_dict(self) -> dict[str, Tensor | int | dict[str, Tensor]]:
        """The average and the number of updates."""
        return {"num_updates": self.num_updates, "average": dict(self.average)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes up an average."""
        self.num_updates = int(state["num_updates"])  # type: ignore[call-overload]
        for name, value in state["average"].items():  # type: ignore[attr-defined]
            self.average[name].copy_(value)
