"""Contrastive divergence: data against what a Markov chain makes of them.

The gradient of −log p(v) is ∂F(v) − E[∂F], with the expectation under the model. Here the
model's side is replaced by chains: begun at the data (CD, Hinton 2002) or kept from step to
step (PCD, Younes 1989; Tieleman 2008).
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from genus.engine import Batch, Info, Known, Remembers, State, distributed
from genus.engine.counts import check_count
from genus.engine.moves import Move, StepsWhole
from genus.objectives.centred import centred_slopes, newest, newest_value, none_seen, shares
from genus.objectives.resting import Resting
from genus.objectives.runaway import unless_runaway
from genus.objectives.sparsity import Sparsity
from genus.objectives.whole_steps import Kernels, Taken, Walk

__all__ = ["Bipartite", "ContrastiveDivergence", "PersistentContrastiveDivergence"]


class Side(Protocol):
    """The units of one side, independent given their field.

    Attributes:
        num_values: how many values a unit may take; None where they are a continuum.
        log_variance: of Gaussian units that learn it, else None.
    """

    num_values: int | None
    log_variance: nn.Parameter | None

    @property
    def logistic(self) -> bool:
        """Whether a unit is 1 with probability σ(field), and else 0."""

    def width(self, num_units: int) -> int:
        """How many entries so many units have."""

    def statistic(self, x: Tensor) -> Tensor:
        """What the other side sees of them."""

    def mean(self, field: Tensor) -> Tensor:
        """E[x | field]."""

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """What the units cost by themselves, ``(batch,)``."""

    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """E[x | field], and log Σ exp(−E) summed over the units, ``(batch,)``."""

    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """Draws; ``inplace`` may overwrite the field."""


@runtime_checkable
class Bipartite(Protocol):
    """Visible and hidden units, each side independent given the other."""

    weights: nn.Parameter
    visible_bias: nn.Parameter
    hidden_bias: nn.Parameter

    @property
    def visible_units(self) -> Side:
        """The kind of the visible units."""

    @property
    def hidden_units(self) -> Side:
        """The kind of the hidden units."""

    def states(self, x: Tensor) -> Tensor:
        """Data as visible units, ``(batch, visible)``."""

    def activation(self, v: Tensor) -> Tensor:
        """The field of the hidden units given the visible ones, ``(batch, hidden)``."""


class Phases(NamedTuple):
    """What the data and the chains have come to in one step.

    Attributes:
        both: the visible units of data and then of chains.
        num_data: how many rows are data.
        activation: what the rows send to the hidden units.
        info: what else is to be reported.
    """

    both: Tensor
    num_data: int
    activation: Tensor
    info: Mapping[str, Tensor] = MappingProxyType({})


class Contrast(StepsWhole, Remembers):
    """What CD and PCD share: the gap in free energy, and its gradient in centred coordinates.

    With offsets μ and λ, slow averages of the visible and hidden units over the data, the
    energy is the same function of v and h in the coordinates b̃ = b + W λ, c̃ = c + μᵀW:

        E = −b̃·(v − μ) − c̃·(h − λ) − (v − μ)ᵀW (h − λ) + const

    The gradient there is far better conditioned (Montavon & Müller 2012; Melchior, Fischer &
    Wiskott 2016). Carried back, with ⟨·⟩ for data less chains,

        ΔW = ⟨(v − μ)(h − λ)ᵀ⟩    Δb = ⟨v⟩ − ΔW λ    Δc = ⟨h⟩ − ΔWᵀμ,

    which is zero where the plain gradient is. For other than binary visible units v stands for
    their statistic s(v), and h for its mean given v. The logarithm of a learnt variance σ² keeps
    its plain gradient, for which ΔW is used again:

        Δ log σᵢ² = ½ ⟨(vᵢ − bᵢ)² / σᵢ²⟩ − Σⱼ Wᵢⱼ ⟨s(v)ᵢ hⱼ⟩

    and in centred coordinates the rows of ΔW and Δb̃ are multiplied by σᵢ², which makes a step
    as large, in deviations of the unit, whatever the unit's scale.
    """

    def __init__(self, k: int, centred: bool, sparsity: Sparsity | None = None) -> None:
        self.k = check_count("k", k)
        self.centred = centred
        self.sparsity = sparsity

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins the offsets at what the biases alone would make of the units.

        That counts as one batch among the first hundred, of which they are the plain mean.

        Raises:
            ValueError: where the model is no restricted machine.
        """
        if not isinstance(model, Bipartite):
            raise ValueError(
                f"{type(self).__name__} needs visible and hidden units that are joined only "
                f"across, as in an RBM; {type(model).__name__} learns by its own algorithm()"
            )
        units = model.visible_units
        num_units = len(model.visible_bias) // units.width(1)
        self.log_states = num_units * math.log(units.num_values or math.inf)
        self.visible_offset = units.statistic(units.mean(model.visible_bias)).clone()
        self.hidden_offset = model.hidden_units.mean(model.hidden_bias).clone()
        self.hidden_rate = self.hidden_offset.clone()
        self.num_seen = none_seen(self.hidden_offset)
        self._kernels = Kernels()
        self._logistic = units.logistic and model.hidden_units.logistic
        if not self.centred:
            self.visible_offset.zero_()
            self.hidden_offset.zero_()

    @abstractmethod
    def _phases(self, model: Any, still: Resting, data: Tensor) -> Phases:
        """Moves the chains; ``still`` are the model's parameters in this step."""

    @final
    @torch.no_grad()
    def known(self, model: Bipartite, batch: Batch) -> Known:
        """The gap, with the chains held fixed where they have come to."""
        still = Resting.of(model)
        with torch.autocast(still.visible_bias.device.type, enabled=False):
            phases = self._phases(model, still, model.states(batch.x))
            gap, slopes = self.contrast(model, phases, still.weights.dtype)
        return Known({"loss": gap, **phases.info}, slopes)

    def _by_kernel(
        self, model: Any, batch: Batch, how: Sequence[Move], rate: float, chains: Tensor | None
    ) -> Taken | None:
        """A step of binary units without sparsity, but for where the chains have come to."""
        if self.sparsity or not self._logistic or not self._kernels.serve(model.weights):
            return None
        num_seen = self.num_seen + 1
        share = newest_value(num_seen) if self.centred else 0.0
        walk = Walk(
            self.k, chains, (self.visible_offset, self.hidden_offset), share, self.log_states
        )
        found = self._kernels.step(model, model.states(batch.x), how, rate, walk)
        if found is not None:
            self.num_seen = num_seen
            self.visible_offset, self.hidden_offset = found.offsets
        return found

    @torch.no_grad()
    def contrast(
        self, model: Bipartite, phases: Phases, dtype: torch.dtype
    ) -> tuple[Tensor, list[tuple[nn.Parameter, Tensor]]]:
        """Mean F of the data less mean F of the chains, with products in this precision."""
        both, num_data, activation, _ = phases
        share = shares(num_data, len(both) - num_data, both)
        hidden, partition = model.hidden_units.mean_and_log_partition(activation)
        energy = model.visible_units.energy(both, model.visible_bias)
        gap = torch.dot(share, partition - energy)
        gap = unless_runaway(gap, self.log_states)
        visible = model.visible_units.statistic(both)
        self._slide(visible[:num_data], hidden[:num_data], share[:num_data])
        if self.sparsity:
            excess = self.sparsity.cost * (self.hidden_rate - self.sparsity.target)
            hidden = hidden.clone()
            hidden[:num_data] -= excess
        offsets = (self.visible_offset, self.hidden_offset)
        slopes = centred_slopes((visible, hidden), offsets, share, dtype)
        parameters = [model.weights, model.visible_bias, model.hidden_bias]
        width = model.visible_units.log_variance
        if width is not None:
            slopes = self._with_width(model, (both, visible, hidden), share, slopes, width)
            parameters.append(width)
        return gap, list(zip(parameters, slopes, strict=True))

    def _with_width(
        self,
        model: Bipartite,
        rows: tuple[Tensor, Tensor, Tensor],
        share: Tensor,
        slopes: list[Tensor],
        width: Tensor,
    ) -> list[Tensor]:
        """Slopes of W, b and c, scaled by σ² where they are centred, and that of log σ²."""
        (both, visible, hidden), (weights, visible_bias, hidden_bias) = rows, slopes
        W = model.weights
        seen, caused = torch.mv(visible.T, share), torch.mv(hidden.T, share)
        change = (W * weights).sum(1) + seen * torch.mv(W, self.hidden_offset)
        change = change + self.visible_offset * torch.mv(W, caused)
        spread = 0.5 * share @ ((both - model.visible_bias).square() * (-width).exp())
        if self.centred:
            variance = width.exp()
            moved = self.visible_offset * (1.0 - variance)
            hidden_bias = hidden_bias + torch.mv(weights.T, moved)
            visible_bias = visible_bias * variance
            weights = weights * variance.unsqueeze(1)
        return [weights, visible_bias, hidden_bias, spread - change]

    def _slide(self, visible: Tensor, hidden: Tensor, share: Tensor) -> None:
        """Moves the averages towards the means of the data, of which each has a share of −1/n."""
        self.num_seen = self.num_seen + 1
        moves: list[tuple[Tensor, Tensor, Tensor | float]] = []
        if self.centred:
            part = newest(self.num_seen, share)
            moves = [(self.visible_offset, visible, part), (self.hidden_offset, hidden, part)]
        if self.sparsity:
            moves.append((self.hidden_rate, hidden, 1.0 - self.sparsity.decay))
        averages = [
            torch.lerp(average, torch.mv(units.T, share).neg_(), new)
            for average, units, new in moves
        ]
        distributed.average(averages)
        if self.centred:
            self.visible_offset, self.hidden_offset, *averages = averages
        if self.sparsity:
            (self.hidden_rate,) = averages

    def state_dict(self) -> State:
        """The offsets and how many batches they have seen, and the averages of sparsity."""
        state = {"visible_offset": self.visible_offset, "hidden_offset": self.hidden_offset}
        state["num_seen"] = self.num_seen
        return {**state, "hidden_rate": self.hidden_rate} if self.sparsity else state

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        names = ("visible_offset", "hidden_offset", "num_seen")
        for name in (*names, *["hidden_rate"] * bool(self.sparsity)):
            setattr(self, name, state[name].to(getattr(self, name)))


class ContrastiveDivergence(Contrast):
    """CD-k: chains of k Gibbs steps that begin at the data.

    Its loss is the gap F(v⁺) − F(v⁻), which says little about the likelihood.

    Args:
        k: Gibbs steps.
        centred: take the gradient in centred coordinates, see :class:`Contrast`.
        sparsity: of the hidden units, where they shall have it.

    Raises:
        ValueError: where k is no positive integer.
    """

    def __init__(
        self, k: int = 1, *, centred: bool = True, sparsity: Sparsity | None = None
    ) -> None:
        super().__init__(k, centred, sparsity)

    def whole_step(
        self, model: Bipartite, batch: Batch, how: Sequence[Move], rate: float
    ) -> Info | None:
        """By the kernel of binary units."""
        if type(self) is not ContrastiveDivergence:
            return None
        found = self._by_kernel(model, batch, how, rate, None)
        return None if found is None else found.info

    def _phases(self, model: Bipartite, still: Resting, data: Tensor) -> Phases:
        seen, caused = model.visible_units, model.hidden_units
        first = still.activation(seen.statistic(data))
        visible = seen.draw(still.field(caused.draw(first)), inplace=True)
        last = still.activation(seen.statistic(visible))
        for _ in range(self.k - 1):
            hidden = caused.draw(last, inplace=True)
            visible = seen.draw(still.field(hidden), inplace=True)
            last = still.activation(seen.statistic(visible))
        return Phases(torch.cat([data, visible]), len(data), torch.cat([first, last]))


class PersistentContrastiveDivergence(Contrast):
    """PCD-k: chains of their own, k Gibbs steps on at every step of learning.

    The chains are hidden units: from them come the visible units of the negative phase, whose
    activation serves the gradient and draws the hidden units that are remembered. Its loss is
    the gap, as that of :class:`ContrastiveDivergence`.

    Args:
        k: Gibbs steps between two steps of learning.
        num_chains: over all processes.
        centred: take the gradient in centred coordinates, see :class:`Contrast`.
        sparsity: of the hidden units, where they shall have it.

    Raises:
        ValueError: where k or num_chains is no positive integer.
    """

    sharded = ("chains",)

    def __init__(
        self,
        k: int = 1,
        num_chains: int = 100,
        *,
        centred: bool = True,
        sparsity: Sparsity | None = None,
    ) -> None:
        super().__init__(k, centred, sparsity)
        self.num_chains = check_count("num_chains", num_chains)

    @torch.no_grad()
    def start(self, model: Any, batch_size: int) -> None:
        """Begins every chain with hidden units from p(h | v), for v drawn from the biases."""
        super().start(model, batch_size)
        visible = model.visible_units.draw(model.visible_bias.expand(self.num_chains, -1))
        hidden = model.hidden_units.draw(model.activation(visible), inplace=True)
        self.chains = distributed.take_rows(hidden)

    def whole_step(
        self, model: Bipartite, batch: Batch, how: Sequence[Move], rate: float
    ) -> Info | None:
        """By the kernel of binary units."""
        if type(self) is not PersistentContrastiveDivergence:
            return None
        found = self._by_kernel(model, batch, how, rate, self.chains)
        if found is None or found.chains is None:
            return None
        self.chains = found.chains
        return found.info

    def _phases(self, model: Bipartite, still: Resting, data: Tensor) -> Phases:
        seen, caused = model.visible_units, model.hidden_units
        visible = seen.draw(still.field(self.chains), inplace=True)
        for _ in range(self.k - 1):
            hidden = caused.draw(still.activation(seen.statistic(visible)), inplace=True)
            visible = seen.draw(still.field(hidden), inplace=True)
        both = torch.cat([data, visible])
        activation = still.activation(seen.statistic(both))
        self.chains = caused.draw(activation[len(data) :])
        return Phases(both, len(data), activation)

    def state_dict(self) -> State:
        """The chains and the offsets."""
        return {**super().state_dict(), "chains": self.chains}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        super().load_state_dict(state)
        self.chains = state["chains"].to(self.chains)
