"""Contrastive steps of binary units on a CPU, which a kernel takes whole."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine.algorithm import Info
from genus.engine.moves import Move
from genus.kernels import BinaryContrast
from genus.objectives.runaway import unless_runaway_value

__all__ = ["Kernels", "Taken", "Walk"]


class Machine(Protocol):
    """Two sides of binary units."""

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter


class Walk(NamedTuple):
    """What an objective brings to a step.

    Attributes:
        k: Gibbs steps.
        chains: hidden units of persistent chains; None begins chains at the data.
        offsets: μ of the visible and λ of the hidden units.
        newest: the share of this batch in both; 0 where they stay.
        log_states: log |X| of the machine, in nats.
    """

    k: int
    chains: Float[Tensor, "chains hidden"] | None
    offsets: tuple[Float[Tensor, " visible"], Float[Tensor, " hidden"]]
    newest: float
    log_states: float


class Taken(NamedTuple):
    """What a step leaves.

    Attributes:
        info: the gap in free energy as loss.
        offsets: with this batch.
        chains: k Gibbs steps on.
    """

    info: Info
    offsets: tuple[Float[Tensor, " visible"], Float[Tensor, " hidden"]]
    chains: Float[Tensor, "chains hidden"] | None


class Kernels:
    """Those of one objective, for each precision of products; a copy begins without any."""

    def __init__(self) -> None:
        self._kept: dict[bool, BinaryContrast] = {}

    def __reduce__(self) -> tuple[type["Kernels"], tuple[()]]:
        return Kernels, ()

    def serve(self, weights: Tensor) -> bool:
        """Whether there is one for such weights, in the precision that products have now."""
        if not weights.is_cpu or weights.dtype != torch.float32:
            return False
        bf16 = torch.is_autocast_enabled("cpu")
        if bf16 and torch.get_autocast_dtype("cpu") != torch.bfloat16:
            return False
        if bf16 not in self._kept and BinaryContrast.serves(bf16):
            self._kept[bf16] = BinaryContrast(bf16)
        return bf16 in self._kept

    def step(
        self, machine: Machine, data: Tensor, how: Sequence[Move], rate: float, walk: Walk
    ) -> Taken | None:
        """A whole step, the update included, where they serve.

        Returns:
            None, with nothing done, where a parameter stays or a tensor does not fit.
        """
        parameters = (machine.weights, machine.visible_bias, machine.hidden_bias)
        moves = [move for each in parameters for move in how if move.parameter is each]
        if len(moves) < len(parameters):
            return None
        k, chains, offsets, newest, log_states = walk
        kernel = self._kept[torch.is_autocast_enabled("cpu")]
        found = kernel.step(data, chains, k, moves, offsets, newest=newest, rate=rate)
        if found is None:
            return None
        gap = unless_runaway_value(found.gap, log_states)
        return Taken({"loss": torch.tensor(gap, dtype=data.dtype)}, found.offsets, found.chains)
