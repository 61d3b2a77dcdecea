"""The restricted Boltzmann machine over binary units (Smolensky 1986; Hinton 2002)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.odds import log_odds, mean_rate
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.seeding import address, seeded
from genus.inference.annealing import (
    Annealed,
    annealed_importance,
    forward_ratio,
    inverse_temperatures,
    reverse_annealed_importance,
    reverse_ratio,
)
from genus.inference.enumerate import MOST_UNITS, log_sum_pairs
from genus.inference.gibbs import bernoulli
from genus.model import Bracket, Bracketed, Conditional, Encodes, Energy, Estimated, Predicts
from genus.models.boltzmann.clamped import Clamped
from genus.models.boltzmann.tempered import Tempered, softplus
from genus.objectives.contrastive import PersistentContrastiveDivergence
from genus.spaces import Binary

__all__ = ["RBM"]

SMALL = 16
CLAMPED_CHAINS = 10
MOST_CHAINS = 1000


class RBM(Energy, Bracketed, Encodes, Predicts):
    """Binary visible units v and binary hidden units h, joined only across.

        p(v, h) = exp(−E(v, h)) / Z        E(v, h) = −b·v − c·h − vᵀW h
        p(v)    = exp(−F(v)) / Z           F(v) = −b·v − Σⱼ softplus(cⱼ + (vᵀW)ⱼ)

    Given one side, the units of the other are independent: p(hⱼ = 1 | v) = σ(cⱼ + (vᵀW)ⱼ) and
    p(vᵢ = 1 | h) = σ(bᵢ + (W h)ᵢ).

    ``log_prob`` is −F(v) − log Z. Where the smaller side has at most 16 units, log Z is summed
    exactly and the standard error is 0; else it is estimated by annealed importance sampling
    with ``effort`` chains. For ``log_prob`` its draws are fixed, which makes it a function of
    the parameters; for ``estimate`` they follow from its seed. An estimate is kept until the
    parameters change, and neither answer carries a gradient. ``bracket`` anneals both ways.

    Args:
        space: of the data; flattened to D units.
        num_hidden: how many hidden units.
        num_steps: Gibbs steps behind every sample, half of them annealed.
        num_sweeps: Gibbs steps behind every completion, half of them annealed.
        num_temperatures: of annealed importance sampling.

    Example:
        >>> import torch, genus
        >>> x = (torch.rand(500, 6) < 0.2).float().cummax(1).values
        >>> model = genus.models.RBM(genus.Binary((6,)), num_hidden=4).fit(x, epochs=2)
        >>> model.log_prob(x).shape
        torch.Size([500])
    """

    def __init__(
        self,
        space: Binary,
        num_hidden: int = 500,
        *,
        num_steps: int = 1000,
        num_sweeps: int = 200,
        num_temperatures: int = 1000,
    ) -> None:
        super().__init__()
        for name, value in (
            ("num_hidden", num_hidden),
            ("num_steps", num_steps),
            ("num_sweeps", num_sweeps),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        inverse_temperatures(num_temperatures)
        if not isinstance(space, Binary):
            raise ValueError(f"space must be Binary, got {space}; binarise the data")
        self.space = space
        self.num_hidden = num_hidden
        self.num_steps = num_steps
        self.num_sweeps = num_sweeps
        self.num_temperatures = num_temperatures
        size = space.num_dimensions
        self.weights = nn.Parameter(0.01 * torch.randn(size, num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))
        self.register_buffer("base_bias", torch.zeros(size))
        self.base_bias: Tensor
        self._cached: tuple[list[Tensor], dict[tuple[str, int, int], Annealed]] | None = None

    def algorithm(self) -> Algorithm:
        """Persistent contrastive divergence, centred, with one Gibbs step on 100 chains."""
        return Descend(
            PersistentContrastiveDivergence(1, num_chains=100),
            Optimiser("sgd", learning_rate=0.2, betas=(0.5, 0.0), schedule="linear"),
            batch_size=100,
            budget=Budget(epochs=20),
        )

    @torch.no_grad()
    def set_visible_bias(self, mean: Tensor) -> None:
        """Sets b, and the base-rate model of annealing, to the log odds of the data's mean.

        Call it before training (Hinton 2010, section 8.1). A unit that is always 0 or always 1
        is given the odds of one exception in a thousand.

        Args:
            mean: of the training data, shape ``space.shape``, entries 0 to 1.

        Raises:
            ValueError: where the shape or the range is another.
        """
        odds = log_odds(mean_rate(mean, self.space.shape, self.weights))
        self.visible_bias.copy_(odds)
        self.base_bias.copy_(odds)

    def activation(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """a = c + vᵀW, what the visible units send to the hidden ones; p(h | v) = σ(a)."""
        return torch.addmm(self.hidden_bias, v, self.weights).to(self.weights.dtype)

    def field(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """b + W h, what the hidden units send to the visible ones; p(v | h) = σ of it."""
        return torch.addmm(self.visible_bias, h, self.weights.T).to(self.weights.dtype)

    def free_energy_at(self, v: Tensor, activation: Tensor) -> Float[Tensor, " batch"]:
        """F(v) where its activation is known already."""
        return -(v @ self.visible_bias).to(v.dtype) - softplus(activation).sum(1)

    def _free_energy(self, x: Tensor) -> Float[Tensor, " batch"]:
        v = x.flatten(1)
        return self.free_energy_at(v, self.activation(v))

    def _gibbs(self, x: Tensor) -> Tensor:
        hidden = bernoulli(self.activation(x.flatten(1)).sigmoid())
        return bernoulli(self.field(hidden).sigmoid()).reshape(x.shape)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch hidden"]:
        return self.activation(x.flatten(1)).sigmoid()

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.field(z).sigmoid().reshape(len(z), *self.space.shape)

    def _prior(self, n: int) -> Float[Tensor, "batch hidden"]:
        return bernoulli(self._encode(self._sample(n, None), None))

    def _tempered(self) -> Tempered:
        """The path from the base-rate model to this one."""
        return Tempered(
            self.weights.detach(),
            self.visible_bias.detach(),
            self.hidden_bias.detach(),
            self.base_bias,
        )

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._chain(n, self.num_steps, None, None).reshape(n, *self.space.shape)

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        mask = observed.flatten(1)
        return self._chain(len(x), self.num_sweeps, x.flatten(1), mask).reshape(x.shape)

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log f(missing) − log Z of the machine whose observed units are clamped.

        Log Z is summed where there are at most 16 hidden units, else annealed with ``effort``
        chains (10 by default) for each datum: on average too low, so that the value is too high.
        """
        chains = effort or CLAMPED_CHAINS
        exactly = self.num_hidden <= SMALL
        parts = []
        for rows in torch.arange(len(x)).split(max(1, MOST_CHAINS // chains)):
            v, mask = x[rows].flatten(1), observed[rows].flatten(1)
            held = torch.addmm(self.hidden_bias, v * mask, self.weights)
            bias = (self.weights, self.visible_bias, self.base_bias)
            free = (~mask).to(v)
            path = Clamped(*bias, held, free)
            joint = path.log_density(path.at(v * free), 1.0)
            if exactly:
                parts.append(joint - self._clamped_partitions(held, ~mask))
                continue
            path = Clamped(
                *bias, held.repeat_interleave(chains, 0), free.repeat_interleave(chains, 0)
            )
            log_weights = annealed_importance(path, len(rows) * chains, self._betas(None))
            log_weights = (log_weights + path.log_base_partition).reshape(-1, chains)
            parts.append(joint - log_weights.logsumexp(1) + math.log(chains))
        return Conditional(torch.cat(parts).to(x.dtype), "=" if exactly else "<=")

    def _clamped_partitions(self, held: Tensor, free: Tensor) -> Tensor:
        """Log Z of each datum's free units, over all states of the hidden ones."""
        return torch.stack(
            [
                log_sum_pairs(self.weights[units].T, bias, self.visible_bias[units])
                for bias, units in zip(held, free, strict=True)
            ]
        )

    def _chain(self, n: int, steps: int, given: Tensor | None, observed: Tensor | None) -> Tensor:
        """Half of the steps climb from the base-rate model, half are Gibbs steps at β = 1."""
        rising = steps // 2
        betas = [(step + 1) / (rising + 1) for step in range(rising)] + [1.0] * (steps - rising)
        path = self._tempered()
        visible = path.start(n).visible
        for beta in betas:
            if given is not None and observed is not None:
                visible = torch.where(observed, given, visible)
            visible = path.draw(path.at(visible), beta)
        return visible

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        return self._normalised(x, self.effort, seed=0).value

    def _estimate(self, x: Tensor, condition: Tensor | None, effort: int) -> Estimated:
        return self._normalised(x, effort, seed=int(torch.randint(1 << 62, ())))

    @torch.no_grad()
    def _normalised(self, x: Tensor, effort: int, seed: int) -> Estimated:
        """−F(x) − log Z."""
        found = self._kept_partition("up", effort, seed)
        return self._less(x, found.value, found.standard_error)

    @torch.no_grad()
    def _bracket(self, x: Tensor, condition: Tensor | None, effort: int) -> Bracket:
        """Log Z enters with a minus, so that its upper bound gives the lower one."""
        seed = int(torch.randint(1 << 62, ()))
        up, down = (self._kept_partition(way, effort, seed) for way in ("up", "down"))
        return Bracket(
            lower=self._less(x, down.bound, down.bound_error),
            upper=self._less(x, up.bound, up.bound_error),
            reverse=self._less(x, down.value, down.standard_error),
        )

    def _less(self, x: Tensor, log_partition: Tensor, error: Tensor) -> Estimated:
        value = -self._free_energy(x).double() - log_partition
        return Estimated(value.to(x.dtype), error.expand(len(x)).to(x.dtype))

    def _kept_partition(self, way: str, effort: int, seed: int) -> Annealed:
        """Log Z of the present parameters: kept, exact where it is cheap, or annealed."""
        exactly = min(self.weights.shape) <= SMALL
        place = ("exact", 0, 0) if exactly else (way, effort, seed)
        present = [self.weights, self.visible_bias, self.hidden_bias, self.base_bias]
        if self._cached is None or not all(
            a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
            for a, b in zip(present, self._cached[0], strict=True)
        ):
            self._cached = ([p.detach().clone() for p in present], {})
        kept = self._cached[1]
        if place not in kept:
            if exactly:
                exact, none = self.log_partition_exact(), torch.zeros(()).double()
                kept[place] = Annealed(exact, none.to(exact), exact, none.to(exact))
            elif way == "up":
                kept[place] = self.log_partition(effort, seed=seed)
            else:
                kept[place] = self.log_partition_upper(effort, seed=address(seed, "down"))
        return kept[place]

    @torch.no_grad()
    def log_partition(
        self,
        effort: int | None = None,
        *,
        num_temperatures: int | None = None,
        seed: int | None = None,
    ) -> Annealed:
        """Log Z by annealed importance sampling: on average a lower bound of it, in nats.

        E[exp(value)] = Z, so E[value] ≤ log Z, and value > log Z + t has probability below e⁻ᵗ.
        The mean of the log weights, ``bound``, lies further below and is a bound in practice.

        Args:
            effort: number of chains; the model's own by default.
            num_temperatures: the model's own by default.
            seed: makes the draws repeatable.
        """
        path, betas = self._tempered(), self._betas(num_temperatures)
        with seeded(seed, self.example.device):
            log_weights = annealed_importance(path, effort or self.effort, betas)
        return _over(path, forward_ratio(log_weights))

    @torch.no_grad()
    def log_partition_upper(
        self,
        effort: int | None = None,
        *,
        start: Tensor | None = None,
        num_temperatures: int | None = None,
        seed: int | None = None,
    ) -> Annealed:
        """Log Z by reverse annealing: on average an upper bound of it, in nats.

        From exact draws of the model E[exp(−value)] = 1/Z, so E[value] ≥ log Z, and value <
        log Z − t has probability below e⁻ᵗ; ``bound`` lies further above. Draws of the model's
        own Gibbs chains are not quite exact: where they miss a mode that forward annealing
        misses too, both agree and both are too low. Data as ``start`` show that: see
        :mod:`genus.inference.annealing`.

        Args:
            effort: number of chains; the model's own, or that of ``start``, by default.
            start: draws of the model to begin with, shape ``(chains, *space.shape)``; by default
                samples.
            num_temperatures: the model's own by default.
            seed: makes the draws repeatable.

        Raises:
            ValueError: where ``start`` is not in the space, or not of ``effort`` rows.
        """
        path, betas = self._tempered(), self._betas(num_temperatures)
        with seeded(seed, self.example.device):
            if start is None:
                draws = self._sample(effort or self.effort, None)
            else:
                draws = self.space.check(start, "start", like=self.example)
            if effort is not None and len(draws) != effort:
                raise ValueError(f"start has {len(draws)} rows for {effort} chains; one each")
            state = path.at(draws.flatten(1))
            log_weights = reverse_annealed_importance(path, state, betas)
        return _over(path, reverse_ratio(log_weights))

    def _betas(self, num_temperatures: int | None) -> list[float]:
        return inverse_temperatures(num_temperatures or self.num_temperatures)

    @torch.no_grad()
    def log_partition_exact(self) -> Tensor:
        """Log Z by a sum over all states of the smaller side, in float64.

        Raises:
            ValueError: where both sides have more than 25 units.
        """
        if min(self.weights.shape) > MOST_UNITS:
            raise ValueError(
                f"an exact log Z needs a side of at most {MOST_UNITS} units, this model has "
                f"{self.weights.shape[0]} and {self.weights.shape[1]}; use log_partition()"
            )
        if self.num_hidden < len(self.visible_bias):
            return log_sum_pairs(self.weights.T, self.hidden_bias, self.visible_bias)
        return log_sum_pairs(self.weights, self.visible_bias, self.hidden_bias)


def _over(path: Tempered, ratio: Annealed) -> Annealed:
    """Log Z₁ from log Z₁/Z₀."""
    base = path.log_base_partition
    return ratio._replace(value=base + ratio.value, bound=base + ratio.bound)
