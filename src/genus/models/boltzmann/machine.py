"""The general Boltzmann machine over binary units (Ackley, Hinton & Sejnowski 1985)."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.odds import log_odds, mean_rate
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.algorithm import Objective
from genus.engine.counts import check_count, count_or
from genus.engine.seeding import address, seeded
from genus.inference.annealing import Annealed, annealed_ratio, inverse_temperatures
from genus.inference.colouring import colour_classes
from genus.inference.enumerate import MOST_UNITS
from genus.model import Bracket, Bracketed, Completes, Energy, Estimated
from genus.models.boltzmann.couplings import Pairs, all_pairs, checked_pairs
from genus.models.boltzmann.joined import Joined, Moments
from genus.models.boltzmann.kept import Kept
from genus.objectives.enumeration import EnumeratedLikelihood
from genus.objectives.pseudo_likelihood import PseudoLikelihood
from genus.spaces import Binary

__all__ = ["BoltzmannMachine", "Colours", "Machine", "colours"]


class Colours(NamedTuple):
    """Units in order of colour, and 0 and the end of every colour."""

    order: Tensor
    ends: tuple[int, ...]


def colours(num_units: int, pairs: list[tuple[int, int]]) -> Colours:
    """The colours of a graph, the largest first."""
    groups = colour_classes(num_units, pairs)
    ends = [0]
    for group in groups:
        ends.append(ends[-1] + len(group))
    return Colours(torch.tensor([unit for group in groups for unit in group]), tuple(ends))


class Machine(Energy, Bracketed, Completes):
    """What both kinds share: all units alike, the visible ones first."""

    def __init__(
        self,
        space: Binary,
        num_hidden: int,
        couplings: Pairs | None,
        num_steps: int,
        num_sweeps: int,
        num_temperatures: int,
        most_summed: int,
    ) -> None:
        super().__init__()
        for name, value in (("num_steps", num_steps), ("num_sweeps", num_sweeps)):
            check_count(name, value)
        if not 0 <= most_summed <= MOST_UNITS:
            raise ValueError(f"most_summed must be 0 to {MOST_UNITS}, got {most_summed}")
        inverse_temperatures(num_temperatures)
        if not isinstance(space, Binary):
            raise ValueError(f"space must be Binary, got {space}; binarise the data")
        self.space = space
        self.num_steps = num_steps
        self.num_sweeps = num_sweeps
        self.num_temperatures = num_temperatures
        self.most_summed = most_summed
        self.num_visible = space.num_dimensions
        size = self.num_visible + num_hidden
        joined = all_pairs(size) if couplings is None else checked_pairs(couplings, size)
        order, self._ends = colours(size, joined)
        ends = torch.tensor(joined, dtype=torch.long).reshape(-1, 2).T.contiguous()
        self.pair_weights = nn.Parameter(0.01 * torch.randn(len(joined)))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("base_bias", torch.zeros(size))
        self.register_buffer("pairs", ends, persistent=False)
        self.register_buffer("_order", order, persistent=False)
        self.register_buffer("_place", order.argsort(), persistent=False)
        self.base_bias: Tensor
        self.pairs: Tensor
        self._order: Tensor
        self._place: Tensor
        self._cached = Kept()

    def couplings(self) -> Float[Tensor, "unit unit"]:
        """U: symmetric, with zero diagonal."""
        size = len(self.bias)
        upper = self.pair_weights.new_zeros(size, size)
        upper = upper.index_put((self.pairs[0], self.pairs[1]), self.pair_weights)
        return upper + upper.T

    def energy(self, units: Float[Tensor, "batch unit"]) -> Float[Tensor, " batch"]:
        """E = −½ xᵀU x − b·x of all units; for means of independent units, its mean."""
        field = 0.5 * (units @ self.couplings()) + self.bias
        return -(field * units).sum(1).to(units.dtype)

    @torch.no_grad()
    def set_visible_bias(self, mean: Tensor) -> None:
        """Sets b of the visible units, and the start of annealing, to the log odds of a mean.

        A unit that is always 0 or always 1 is given the odds of one exception in a thousand.

        Args:
            mean: of the training data, shape ``space.shape``, entries 0 to 1.

        Raises:
            ValueError: where the shape or the range is another.
        """
        odds = log_odds(mean_rate(mean, self.space.shape, self.bias))
        self.bias[: self.num_visible] = odds
        self.base_bias[: self.num_visible] = odds

    def _path(self, free: Tensor | None = None) -> Joined:
        """The path to this machine; ``free`` as rows of units, shape ``(chains, units)``."""
        order = self._order
        couplings = self.couplings().detach()[order][:, order]
        allowed = None if free is None else free.T[order]
        bias = self.bias.detach()[order]
        return Joined(couplings, bias, self.base_bias[order], self._ends, allowed)

    @torch.no_grad()
    def walk(self, units: Float[Tensor, "chain unit"], steps: int) -> Float[Tensor, "chain unit"]:
        """All units after this many Gibbs sweeps."""
        path = self._path()
        standing = units.T[self._order]
        for _ in range(steps):
            standing = path.sweep(standing, 1.0)
        return standing[self._place].T.contiguous()

    def _chain(self, n: int, steps: int, given: Tensor, known: Tensor) -> Tensor:
        """Half of the sweeps climb from independent units, half are at β = 1.

        Args:
            n: how many chains.
            steps: sweeps.
            given: visible units, shape ``(n, visible)``.
            known: where they are held, of the same shape.
        """
        rising = steps // 2
        betas = [(step + 1) / (rising + 1) for step in range(rising)] + [1.0] * (steps - rising)
        hidden = known.new_zeros(n, len(self.bias) - self.num_visible)
        held = torch.cat([known, hidden], 1)
        path = self._path(~held if bool(known.any()) else None)
        values = torch.cat([given, hidden.to(given)], 1).T[self._order]
        units = torch.where(held.T[self._order], values, path.start(n).units)
        for beta in betas:
            units = path.sweep(units, beta)
        return units[self._place].T

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._draws(n)[:, : self.num_visible].reshape(n, *self.space.shape)

    def _draws(self, n: int) -> Float[Tensor, "batch unit"]:
        """All units of n samples."""
        nothing = self.bias.detach().new_zeros(n, self.num_visible)
        return self._chain(n, self.num_steps, nothing, nothing.bool())

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        units = self._chain(len(x), self.num_sweeps, x.flatten(1), observed.flatten(1))
        return units[:, : self.num_visible].reshape(x.shape)

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        found = self._kept_partition("up", self.effort, 0)
        return self._less(x, found.value, found.standard_error).value

    def _estimate(self, x: Tensor, condition: Tensor | None, effort: int) -> Estimated:
        found = self._kept_partition("up", effort, int(torch.randint(1 << 62, ())))
        return self._less(x, found.value, found.standard_error)

    def _bracket(self, x: Tensor, condition: Tensor | None, effort: int) -> Bracket:
        """Log Z enters with a minus, so that its upper bound gives the lower one."""
        seed = int(torch.randint(1 << 62, ()))
        up, down = (self._kept_partition(way, effort, seed) for way in ("up", "down"))
        return Bracket(
            lower=self._less(x, down.bound, down.bound_error),
            upper=self._less(x, up.bound, up.bound_error),
            reverse=self._less(x, down.value, down.standard_error),
        )

    @torch.no_grad()
    def _less(self, x: Tensor, log_partition: Tensor, error: Tensor) -> Estimated:
        value = -self._free_energy(x).double() - log_partition
        return Estimated(value.to(x.dtype), error.expand(len(x)).to(x.dtype))

    @property
    def sums_exactly(self) -> bool:
        """Whether log Z is a sum over all states: where few enough units are left to be summed.

        Those of the largest group without couplings among themselves are summed in closed form.
        """
        return len(self.bias) - self._ends[1] <= self.most_summed

    def _kept_partition(self, way: str, effort: int, seed: int) -> Annealed:
        """Log Z of the present parameters: kept, exact where it is cheap, or annealed."""
        place = ("exact", 0, 0) if self.sums_exactly else (way, effort, seed)

        def found() -> Annealed:
            if self.sums_exactly:
                exact = self.moments().log_partition
                none = torch.zeros_like(exact)
                return Annealed(exact, none, exact, none)
            down = way == "down"
            place_of_draws = address(seed, way) if down else seed
            return self.log_partition(effort, reverse=down, seed=place_of_draws)

        present = [self.pair_weights, self.bias, self.base_bias]
        kept: Annealed = self._cached.of(present, place, found)
        return kept

    @torch.no_grad()
    def log_partition(
        self,
        num_chains: int | None = None,
        *,
        reverse: bool = False,
        num_temperatures: int | None = None,
        seed: int | None = None,
    ) -> Annealed:
        """Log Z by annealed importance sampling, in nats: on average from below.

        In reverse on average from above, as far as the model's own samples, with which it
        begins, are exact: see :mod:`genus.inference.annealing`.

        Args:
            num_chains: ``effort`` by default.
            reverse: anneal from the model down to independent units.
            num_temperatures: the model's own by default.
            seed: makes the draws repeatable.

        Raises:
            ValueError: for fewer than 1 chain or 3 temperatures.
        """
        path, chains = self._path(), count_or("num_chains", num_chains, self.effort)
        wanted = count_or("num_temperatures", num_temperatures, self.num_temperatures)
        betas = inverse_temperatures(wanted)
        with seeded(seed, self.bias.device):
            start = path.at(self._draws(chains).T[self._order]) if reverse else None
            ratio = annealed_ratio(path, betas, num_chains=chains, start=start)
        base = path.log_base_partition
        return ratio._replace(value=base + ratio.value, bound=base + ratio.bound)

    def moments(self) -> Moments:
        """Log Z, E[x] and E[x xᵀ] of all units, by a sum over their states, in float64.

        Raises:
            ValueError: where more than ``most_summed`` units are left to be summed.
        """
        path = self._path()
        if not self.sums_exactly:
            raise ValueError(
                f"an exact sum over the states of {path.num_summed} units was asked for, "
                f"most_summed is {self.most_summed}; use log_partition(), fewer units or couplings"
            )
        found = path.moments()
        place = self._place
        return Moments(found.log_partition, found.mean[place], found.products[place][:, place])

    def _gibbs(self, x: Tensor) -> Tensor:
        return self.walk(self.completed(x), 1)[:, : self.num_visible].reshape(x.shape)

    @abstractmethod
    def completed(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data, and hidden units drawn exactly from p(h | x) where there are any."""

    @abstractmethod
    def expected(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data, and means of the hidden units given them where there are any."""

    @abstractmethod
    def log_odds(self, x: Tensor) -> Float[Tensor, "batch visible"]:
        """log p(xᵢ = 1 | others) − log p(xᵢ = 0 | others) of every visible unit."""


class BoltzmannMachine(Machine):
    """Binary units x, all visible, any two of which may be joined.

        p(x) = exp(−E(x)) / Z        E(x) = −½ xᵀU x − b·x        x in {0, 1}ᴰ

    U is symmetric with zero diagonal, so that each pair counts once: −Σ_{i<j} Uᵢⱼ xᵢ xⱼ.
    p(xᵢ = 1 | others) = σ(bᵢ + Σⱼ Uᵢⱼ xⱼ). Units are drawn colour by colour: those that no
    coupling joins at once, which on a grid are half of them; where all are joined, one by one.

    ``log_prob`` is −E(x) − log Z. Log Z is summed over the states of all units but the largest
    group without couplings among themselves, where these are at most ``most_summed``; the
    standard error is then 0. Else it is estimated by annealed importance sampling with
    ``effort`` chains. For ``log_prob`` its draws are fixed, which makes it a function of the
    parameters; for ``estimate`` they follow from its seed. ``bracket`` anneals both ways.

    It learns by exact maximum likelihood where log Z is summed, else by pseudo-likelihood.

    Args:
        space: of the data; flattened to D units.
        couplings: the pairs of units that are joined, as numbers from 0; all by default. See
            :func:`~genus.models.boltzmann.couplings.pairs_of` for a boolean mask, and
            :func:`~genus.models.boltzmann.couplings.grid_pairs` for neighbours on a grid.
        num_steps: Gibbs sweeps behind every sample, half of them annealed.
        num_sweeps: Gibbs sweeps behind every completion, half of them annealed.
        num_temperatures: of annealed importance sampling.
        most_summed: most units over whose states log Z is summed, at most 25.

    Raises:
        ValueError: where an argument is out of its range, or ``couplings`` join no two
            different units.

    Example:
        >>> import torch, genus
        >>> x = (torch.rand(500, 6) < 0.2).float().cummax(1).values
        >>> model = genus.models.BoltzmannMachine(genus.Binary((6,))).fit(x, epochs=2)
        >>> model.log_prob(x).shape
        torch.Size([500])
    """

    def __init__(
        self,
        space: Binary,
        *,
        couplings: Pairs | None = None,
        num_steps: int = 200,
        num_sweeps: int = 100,
        num_temperatures: int = 1000,
        most_summed: int = 20,
    ) -> None:
        super().__init__(space, 0, couplings, num_steps, num_sweeps, num_temperatures, most_summed)

    def algorithm(self) -> Algorithm:
        """Exact maximum likelihood where log Z is summed, else pseudo-likelihood, by Adam."""
        objective: Objective = PseudoLikelihood()
        if self.sums_exactly:
            objective = EnumeratedLikelihood()
        return Descend(
            objective,
            Optimiser("adam", learning_rate=0.03, schedule="linear"),
            batch_size=100,
            budget=Budget(epochs=20),
        )

    def _free_energy(self, x: Tensor) -> Float[Tensor, " batch"]:
        return self.energy(x.flatten(1))

    def completed(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data."""
        return x.flatten(1)

    def expected(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data."""
        return x.flatten(1)

    def log_odds(self, x: Tensor) -> Float[Tensor, "batch visible"]:
        """b + U x."""
        return torch.addmm(self.bias, x.flatten(1), self.couplings()).to(self.bias.dtype)
