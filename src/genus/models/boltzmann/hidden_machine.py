"""The general Boltzmann machine with hidden units (Ackley, Hinton & Sejnowski 1985)."""

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.model import Encodes
from genus.models.boltzmann.couplings import Pairs, all_pairs
from genus.models.boltzmann.joined import mean_field, states
from genus.models.boltzmann.machine import Machine, colours
from genus.models.boltzmann.tempered import softplus
from genus.objectives.persistent import PersistentGibbs
from genus.spaces import Binary

__all__ = ["HiddenBoltzmannMachine"]

MOST_HIDDEN = 20
TABLE = 1 << 20


class HiddenBoltzmannMachine(Machine, Encodes):
    """Visible units v and hidden units h, any two of which may be joined.

        p(v, h) = exp(−E(v, h)) / Z        E(v, h) = −½ vᵀR v − vᵀW h − ½ hᵀS h − b·v − c·h
        p(v) = exp(−F(v)) / Z              F(v) = −½ vᵀR v − b·v − log Σ_h exp(½ hᵀS h + a·h)

    with a = c + Wᵀv; R and S are symmetric with zero diagonal. The sum over h runs over the
    states of all hidden units but the largest group of them without couplings among
    themselves, which is summed in closed form. At most 20 units may be left to it: beyond that
    p(v) is not known up to its constant, and this class refuses to be built. With no coupling
    between hidden units any number will do; with none between visible ones either, take an RBM.

    ``encode`` gives the means of the hidden units that mean field finds, ``decode`` those of
    the visible units given hidden ones; each is exact where that side has no couplings of its
    own. ``log_prob``, ``estimate`` and ``bracket`` are as those of
    :class:`~genus.models.boltzmann.machine.BoltzmannMachine`, with −F(v) − log Z.

    It learns by mean field in the positive phase and persistent Gibbs chains in the negative
    one (Salakhutdinov & Hinton 2009).

    Args:
        space: of the data; flattened to D visible units, numbers 0 to D − 1.
        num_hidden: how many hidden units, numbers D and up.
        couplings: the pairs of units that are joined; or "all"; or "semi-restricted": all but
            the pairs of hidden units (Osindero & Hinton 2008).
        num_steps: Gibbs sweeps behind every sample, half of them annealed.
        num_sweeps: Gibbs sweeps behind every completion, half of them annealed.
        num_temperatures: of annealed importance sampling.
        num_mean_field: sweeps of mean field.
        most_summed: most units over whose states log Z is summed, at most 25.

    Raises:
        ValueError: where an argument is out of its range, ``couplings`` join no two different
            units, or too many hidden units are joined to one another.

    Example:
        >>> import torch, genus
        >>> x = (torch.rand(500, 6) < 0.2).float().cummax(1).values
        >>> model = genus.models.HiddenBoltzmannMachine(genus.Binary((6,)), num_hidden=4)
        >>> model.fit(x, epochs=2).encode(x).shape
        torch.Size([500, 4])
    """

    def __init__(
        self,
        space: Binary,
        num_hidden: int = 10,
        *,
        couplings: Pairs | Literal["all", "semi-restricted"] = "all",
        num_steps: int = 200,
        num_sweeps: int = 100,
        num_temperatures: int = 1000,
        num_mean_field: int = 20,
        most_summed: int = 20,
    ) -> None:
        for name, value in (("num_hidden", num_hidden), ("num_mean_field", num_mean_field)):
            check_count(name, value)
        chosen = _chosen(space, num_hidden, couplings)
        super().__init__(
            space, num_hidden, chosen, num_steps, num_sweeps, num_temperatures, most_summed
        )
        nn.init.normal_(self.pair_weights, std=0.1)
        self.num_hidden = num_hidden
        self.num_mean_field = num_mean_field
        visible = self.num_visible
        among: list[list[int]] = self.pairs.T.tolist()
        hidden = colours(num_hidden, [(i - visible, j - visible) for i, j in among if i >= visible])
        if num_hidden - hidden.ends[1] > MOST_HIDDEN:
            raise ValueError(
                f"p(x) up to its constant would be a sum over the states of "
                f"{num_hidden - hidden.ends[1]} joined hidden units, at most {MOST_HIDDEN} can be "
                "summed; take fewer hidden units, join fewer of them, or take an RBM"
            )
        seen = colours(visible, [(i, j) for i, j in among if j < visible])
        self._hidden_ends, self._visible_ends = hidden.ends, seen.ends
        self.register_buffer("_hidden_order", hidden.order + visible, persistent=False)
        self.register_buffer("_visible_order", seen.order, persistent=False)
        self._hidden_order: Tensor
        self._visible_order: Tensor

    def algorithm(self) -> Algorithm:
        """Mean field against 100 persistent chains, five sweeps between two steps."""
        return Descend(
            PersistentGibbs(5, num_chains=100),
            Optimiser("sgd", learning_rate=0.1, betas=(0.5, 0.0), schedule="linear"),
            batch_size=100,
            budget=Budget(epochs=20),
        )

    def _tables(self, v: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All states s of the hidden units but the first colour, some at a time.

        With each: the log odds of the first colour given s and v, shape ``(batch, states,
        first)``, and log Σ exp of what depends on h, shape ``(batch, states)``.
        """
        order, first = self._hidden_order, self._hidden_ends[1]
        couplings = self.couplings()
        among = couplings[order][:, order]
        sent = torch.addmm(self.bias[order], v, couplings[: self.num_visible, order]).to(v.dtype)
        rows_at_once = min(1 << 12, max(1, TABLE // (len(v) * first)))
        for rows in states(len(order) - first, v.device, rows_at_once):
            s = rows.to(v.dtype)
            activation = sent[:, None, :first] + s @ among[first:, :first]
            within = 0.5 * (s @ among[first:, first:] * s).sum(1)
            yield s, activation, sent[:, first:] @ s.T + within + softplus(activation).sum(2)

    def _free_energy(self, x: Tensor) -> Float[Tensor, " batch"]:
        v = x.flatten(1)
        total = v.new_full((len(v),), -torch.inf)
        for _, _, log_f in self._tables(v):
            total = torch.logaddexp(total, log_f.logsumexp(1))
        seen = self.couplings()[: self.num_visible, : self.num_visible]
        field = 0.5 * (v @ seen) + self.bias[: self.num_visible]
        return -(field * v).sum(1).to(v.dtype) - total

    @torch.no_grad()
    def completed(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data, and hidden units drawn from p(h | x): the state of largest log f + Gumbel."""
        v = x.flatten(1)
        best = v.new_full((len(v),), -torch.inf)
        hidden = v.new_zeros(len(v), self.num_hidden)
        batch = torch.arange(len(v), device=v.device)
        for rows, activation, log_f in self._tables(v):
            gumbel = -torch.empty_like(log_f).exponential_().log_()
            top, which = (log_f + gumbel).max(1)
            odds = activation[batch, which].sigmoid()
            better = (top > best).unsqueeze(1)
            hidden = torch.where(better, torch.cat([bernoulli(odds), rows[which]], 1), hidden)
            best = torch.maximum(best, top)
        place = (self._hidden_order - self.num_visible).argsort()
        return torch.cat([v, hidden[:, place]], 1)

    def _means(self, given: Tensor, order: Tensor, ends: tuple[int, ...], begin: int) -> Tensor:
        """Mean field of the units in ``order`` given the others, which begin at ``begin``."""
        couplings = self.couplings().detach()
        others = couplings[begin : begin + given.shape[1], order]
        sent = torch.addmm(self.bias[order].detach(), given, others).to(given.dtype)
        found = mean_field(couplings[order][:, order], sent.T, ends, self.num_mean_field)
        return found[order.argsort()].T.contiguous()

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch hidden"]:
        return self._means(x.flatten(1), self._hidden_order, self._hidden_ends, 0)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        means = self._means(z, self._visible_order, self._visible_ends, self.num_visible)
        return means.reshape(len(z), *self.space.shape)

    def _prior(self, n: int) -> Float[Tensor, "batch hidden"]:
        return self._draws(n)[:, self.num_visible :].contiguous()

    def expected(self, x: Tensor) -> Float[Tensor, "batch unit"]:
        """The data, and what mean field makes of the hidden units."""
        return torch.cat([x.flatten(1), self._encode(x, None)], 1)

    def log_odds(self, x: Tensor) -> Float[Tensor, "batch visible"]:
        """F with a unit at 0 less F with it at 1, for each: 2 D free energies a datum."""
        v = x.flatten(1)
        units = range(self.num_visible)
        here = [v.index_fill(1, torch.tensor([i], device=v.device), 1.0) for i in units]
        gone = [v.index_fill(1, torch.tensor([i], device=v.device), 0.0) for i in units]
        free = self._free_energy(torch.cat(gone)) - self._free_energy(torch.cat(here))
        return free.reshape(self.num_visible, len(v)).T


def _chosen(space: Binary, num_hidden: int, couplings: Pairs | str) -> Pairs | None:
    """The pairs of a named structure; None for all."""
    if not isinstance(couplings, str):
        return couplings
    if couplings not in ("all", "semi-restricted"):
        raise ValueError(
            f'couplings must be pairs of units, "all" or "semi-restricted", got {couplings!r}'
        )
    visible = space.num_dimensions
    every = all_pairs(visible + num_hidden)
    return None if couplings == "all" else [(i, j) for i, j in every if i < visible]
