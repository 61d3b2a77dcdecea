"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002; Welling et al. 2004)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Algorithm
from genus.engine.counts import check_count, count_or
from genus.engine.seeding import address, seeded
from genus.inference.annealing import Annealed, annealed_ratio, inverse_temperatures
from genus.model import Bracket, Bracketed, Conditional, Encodes, Energy, Estimated, Predicts
from genus.models.boltzmann import sums
from genus.models.boltzmann.gaussian_units import Gaussian
from genus.models.boltzmann.kept import Kept
from genus.models.boltzmann.learning import algorithm_for
from genus.models.boltzmann.tempered import Tempered
from genus.models.boltzmann.unit_kinds import Kind, first_weights, hidden_units, visible_units
from genus.objectives.score_matching import Score
from genus.spaces import Space

__all__ = ["RBM"]

SMALL = 16
MOST_UNITS = 25
CLAMPED_CHAINS = 10
MOST_CHAINS = 1000


class RBM(Energy, Bracketed, Encodes, Predicts):
    """Visible units v and hidden units h, joined only across.

        p(v, h) = exp(−E(v, h)) / Z        E(v, h) = E(v) + E(h) − s(v)ᵀ W h
        p(v)    = exp(−F(v)) / Z           F(v) = E(v) − Σⱼ Aⱼ(c + s(v) W)

    Given one side, the units of the other are independent: p(h | v) has the field
    a = c + s(v) W, and p(v | h) the field b + W h. The kinds of units are

    * binary: E = −b·v, s(v) = v, A(a) = log(1 + eᵃ), mean σ(a);
    * Gaussian: E = Σ (vᵢ − bᵢ)² / (2σᵢ²), s(v) = v / σ², mean b + W h, the variances learnt as
      their logarithms (Cho, Raiko & Ilin 2011). Hidden ones have E = ½ |h|² − c·h, A(a) = ½ a² +
      ½ log 2π: another variance would only rescale W and c;
    * categorical (Potts): K entries a unit, of which one is 1, A = log Σ_k exp a_k;
    * rectified: sums of N binary copies with shifted biases, A(a) = Σᵢ log(1 + exp(a − i + ½)).

    Those of v follow from the space: Binary, Real and Categorical have binary, Gaussian and
    categorical units, Pixels have rectified (N = levels − 1) or categorical ones. Two Gaussian
    sides are normalisable only for small weights; samples and log Z of others are refused.

    ``log_prob`` is −F(v) − log Z. Where a side has at most 2¹⁶ states, or both are Gaussian, log
    Z is exact and the standard error is 0; else it is estimated by annealed importance sampling
    with ``effort`` chains. For ``log_prob`` its draws are fixed, which makes it a function of
    the parameters; for ``estimate`` they follow from its seed. An estimate is kept until the
    parameters change, and neither answer carries a gradient. ``bracket`` anneals both ways.

    Args:
        space: of the data; flattened to D units.
        num_hidden: how many hidden units.
        hidden: their kind: "binary", "gaussian", "categorical" or "rectified".
        visible: the kind of visible units, for a space that suits several.
        num_states: values of a categorical or rectified hidden unit; N is one less.
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
        space: Space,
        num_hidden: int = 500,
        *,
        hidden: Kind = "binary",
        visible: Kind | None = None,
        num_states: int = 10,
        num_steps: int = 1000,
        num_sweeps: int = 200,
        num_temperatures: int = 1000,
    ) -> None:
        super().__init__()
        counts = {"num_hidden": num_hidden, "num_steps": num_steps, "num_sweeps": num_sweeps}
        for name, value in counts.items():
            check_count(name, value)
        inverse_temperatures(num_temperatures)
        self.space = space
        self.num_hidden = num_hidden
        self.num_steps = num_steps
        self.num_sweeps = num_sweeps
        self.num_temperatures = num_temperatures
        self.visible_units = visible_units(space, visible)
        self.hidden_units = hidden_units(hidden, num_states)
        size = self.visible_units.width(space.num_dimensions)
        width = self.hidden_units.width(num_hidden)
        self.weights = first_weights(self.visible_units, self.hidden_units, size, width)
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("base_bias", torch.zeros(size))
        self.base_bias: Tensor
        self._cached = Kept()

    def algorithm(self) -> Algorithm:
        """Centred PCD-1 with 100 chains, tempered ones for real data."""
        return algorithm_for(self.visible_units, self.hidden_units)

    @torch.no_grad()
    def set_visible_bias(self, mean: Tensor, variance: Tensor | None = None) -> None:
        """Sets b, and the base-rate model of annealing, to what alone gives the data's mean.

        Call it before training (Hinton 2010, section 8.1). Of binary units b is the log odds; one
        that is always 0 or always 1 is given the odds of one exception in a thousand.

        Args:
            mean: of the training data, shape ``space.shape``; of categorical units the share of
                each category, shape ``(*space.shape, categories)``.
            variance: of the training data, positive, for Gaussian units: sets σ² too, with the
                weights as large as before in units of σ. Then c is −s(b) W: undecided at the mean.

        Raises:
            ValueError: where a shape or the range is another.
        """
        units = self.visible_units
        bias = units.bias_for(mean, self.space.shape, self.weights)
        if variance is not None:
            if not isinstance(units, Gaussian):
                raise ValueError("variance is for Gaussian visible units; leave it out")
            self.weights.mul_(units.set_variance(variance, self.space.shape).unsqueeze(1))
        if isinstance(units, Gaussian):
            self.hidden_bias.copy_(-(units.statistic(bias) @ self.weights))
        self.visible_bias.copy_(bias)
        self.base_bias.copy_(bias)

    def states(self, x: Tensor) -> Float[Tensor, "batch visible"]:
        """Data as entries of the visible units."""
        return self.visible_units.states(x.flatten(1)).to(self.weights.dtype)

    def _data(self, entries: Tensor) -> Tensor:
        """Entries of the visible units as data."""
        values = self.visible_units.values(entries).reshape(len(entries), *self.space.shape)
        dtype = self.space.dtype
        return values if dtype is None else values.round().to(dtype)

    def activation(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """a = c + s(v) W, what the visible units send to the hidden ones; σ(a) = p(h | v)."""
        statistic = self.visible_units.statistic(v)
        return torch.addmm(self.hidden_bias, statistic, self.weights).to(self.weights.dtype)

    def field(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """b + W h, what the hidden units send to the visible ones; σ of it is p(v | h)."""
        return torch.addmm(self.visible_bias, h, self.weights.T).to(self.weights.dtype)

    def free_energy_at(self, v: Tensor, activation: Tensor) -> Float[Tensor, " batch"]:
        """F(v) where its activation is known already."""
        own = self.visible_units.energy(v, self.visible_bias).to(v.dtype)
        return own - self.hidden_units.log_partition(activation).sum(1)

    def _free_energy(self, x: Tensor) -> Float[Tensor, " batch"]:
        v = self.states(x)
        return self.free_energy_at(v, self.activation(v))

    def score_and_divergence(self, x: Tensor) -> Score:
        """∇ log p(x) = (b + W E[h | x] − x) / σ², and Σᵢ of its own derivatives ∂ᵢ.

        The second is Σᵢ −1/σᵢ² + Var(Wᵢ·h | x)/σᵢ⁴. Both carry gradients to the parameters.

        Raises:
            ValueError: where the visible units are not Gaussian.
        """
        if not isinstance(self.visible_units, Gaussian):
            raise ValueError(f"a score needs a Real space, this model has {self.space}")
        v = x.flatten(1)
        activation = self.activation(v)
        precision = self.visible_units.precision(v)
        score = (self.field(self.hidden_units.mean(activation)) - v) * precision
        bend = self.hidden_units.variance_of(self.weights, activation) @ precision.square()
        return Score(score.reshape(x.shape), bend - precision.sum())

    def _gibbs(self, x: Tensor) -> Tensor:
        if self._is_gaussian():
            self.log_partition_exact()
        hidden = self.hidden_units.draw(self.activation(self.states(x)))
        return self._data(self.visible_units.draw(self.field(hidden)))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch hidden"]:
        return self.hidden_units.mean(self.activation(self.states(x)))

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        means = self.visible_units.values(self.visible_units.mean(self.field(z)))
        return means.reshape(len(z), *self.space.shape)

    def _prior(self, n: int) -> Float[Tensor, "batch hidden"]:
        return self.hidden_units.draw(self.activation(self.states(self._sample(n, None))))

    def _tempered(self) -> Tempered:
        """The path from the base-rate model to this one."""
        return Tempered(
            self.weights.detach(),
            self.visible_bias.detach(),
            self.hidden_bias.detach(),
            self.base_bias,
            self.visible_units,
            self.hidden_units,
        )

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._data(self._chain(n, self.num_steps, None, None))

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        mask = self.visible_units.spread_mask(observed.flatten(1))
        return self._data(self._chain(len(x), self.num_sweeps, self.states(x), mask))

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log f(missing) − log Z of the machine whose observed units are clamped.

        Log Z is exact where the hidden units have at most 2¹⁶ states or both sides are
        Gaussian, else annealed with ``effort`` chains (10 by default) for each datum: on
        average too low, so that the value is too high.
        """
        chains = count_or("effort", effort, CLAMPED_CHAINS)
        path, betas = self._tempered(), self._betas(None)
        hidden = sums.num_states(self.hidden_units, len(self.hidden_bias))
        exactly = hidden <= 1 << SMALL or self._is_gaussian()
        size, known = max(1, MOST_CHAINS // chains), observed.flatten(1)
        parts = [
            sums.conditional(path, v, mask, None if exactly else chains, betas)
            for v, mask in zip(self.states(x).split(size), known.split(size), strict=True)
        ]
        return Conditional(torch.cat(parts).to(path.weights.dtype), "=" if exactly else "<=")

    def _is_gaussian(self) -> bool:
        """Whether both sides are, so that p(v) is Gaussian too."""
        return isinstance(self.visible_units, Gaussian) and isinstance(self.hidden_units, Gaussian)

    def _chain(self, n: int, steps: int, given: Tensor | None, observed: Tensor | None) -> Tensor:
        """Half of the steps climb from the base-rate model, half are Gibbs steps at β = 1."""
        if self._is_gaussian():
            self.log_partition_exact()
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
        dtype = self.weights.dtype
        return Estimated(value.to(dtype), error.expand(len(x)).to(dtype))

    def _kept_partition(self, way: str, effort: int, seed: int) -> Annealed:
        """Log Z of the present parameters: kept, exact where it is cheap, or annealed."""
        exactly = sums.cost(self._tempered()) <= 1 << SMALL
        place = ("exact", 0, 0) if exactly else (way, effort, seed)

        def found() -> Annealed:
            if exactly:
                exact, none = self.log_partition_exact(), torch.zeros(()).double()
                return Annealed(exact, none.to(exact), exact, none.to(exact))
            down = way == "down"
            place_of_draws = address(seed, way) if down else seed
            return self.log_partition(effort, reverse=down, seed=place_of_draws)

        kept: Annealed = self._cached.of([*self.parameters(), *self.buffers()], place, found)
        return kept

    @torch.no_grad()
    def log_partition(
        self,
        num_chains: int | None = None,
        *,
        reverse: bool = False,
        start: Tensor | None = None,
        num_temperatures: int | None = None,
        seed: int | None = None,
    ) -> Annealed:
        """Log Z by annealed importance sampling, in nats: on average from below.

        E[exp(value)] = Z, so E[value] ≤ log Z, and value > log Z + t has probability below e⁻ᵗ.
        The mean of the log weights, ``bound``, lies further below and is a bound in practice.

        In reverse E[exp(−value)] = 1/Z: all that is the other way round, if the chains begin at
        exact draws of the model. Its own Gibbs chains are not quite: where they miss a mode that
        forward annealing misses too, both agree and both are too low. Data as ``start`` show
        that: see :mod:`genus.inference.annealing`.

        Args:
            num_chains: ``effort`` by default; in reverse as many as ``start`` has.
            reverse: anneal from the model down to independent units.
            start: draws of the model to begin with, shape ``(chains, *space.shape)``; by default
                samples. For reverse annealing.
            num_temperatures: the model's own by default.
            seed: makes the draws repeatable.

        Raises:
            ValueError: for fewer than 1 chain or 3 temperatures, or where ``start`` is not in
                the space, not of ``num_chains`` rows, or not for reverse annealing.
        """
        path, betas = self._tempered(), self._betas(num_temperatures)
        chains = count_or("num_chains", num_chains, self.effort)
        if start is not None and not reverse:
            raise ValueError("start is where reverse annealing begins; give reverse=True too")
        with seeded(seed, self.example.device):
            state = None
            if reverse:
                if start is None:
                    draws = self._sample(chains, None)
                else:
                    draws = self.space.check(start, "start", like=self.example)
                if num_chains is not None and len(draws) != chains:
                    raise ValueError(f"start has {len(draws)} rows for {chains} chains; one each")
                state = path.at(self.states(draws))
            return path.partition(annealed_ratio(path, betas, num_chains=chains, start=state))

    def _betas(self, num_temperatures: int | None) -> list[float]:
        wanted = count_or("num_temperatures", num_temperatures, self.num_temperatures)
        return inverse_temperatures(wanted)

    @torch.no_grad()
    def log_partition_exact(self) -> Tensor:
        """Log Z in float64, by a sum over all states of the side that has fewer.

        In closed form where both sides are Gaussian.

        Raises:
            ValueError: where both sides have more than 2²⁵ states, or there is no log Z.
        """
        path = self._tempered()
        if sums.cost(path) > 1 << MOST_UNITS:
            raise ValueError(
                f"an exact log Z needs a side of at most 2^{MOST_UNITS} states, this model has "
                f"{self.space.num_dimensions} and {self.num_hidden} units; use log_partition()"
            )
        return sums.log_partition(path)
