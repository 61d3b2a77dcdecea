"""The deep Boltzmann machine (Salakhutdinov & Hinton 2009)."""

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.odds import log_odds, mean_rate, odds_of_share
from genus.engine import Algorithm, Budget, Descend, Optimiser, Stage, Stages
from genus.engine.counts import check_count, count_or
from genus.engine.known import with_gradient
from genus.engine.seeding import seeded
from genus.inference.annealing import Annealed, annealed_ratio, inverse_temperatures
from genus.inference.enumerate import MOST_UNITS
from genus.model import AnnealedBound, Completes, Constant, Encodes, Estimated
from genus.models.boltzmann.classifier import SigmoidClassifier
from genus.models.boltzmann.kept import Kept
from genus.models.boltzmann.layered import Layered
from genus.models.boltzmann.sizes import check_sizes
from genus.models.boltzmann.tempered_layers import Held, TemperedLayers
from genus.objectives.doubled import DoubledContrast
from genus.objectives.persistent_layers import PersistentLayers
from genus.spaces import Binary, Real

__all__ = ["DeepBoltzmannMachine"]

MOST_ROWS = 2048


class DeepBoltzmannMachine(AnnealedBound, Encodes, Completes):
    """Layers of binary units, each joined to the next, data at the bottom: h₀ = x.

        p(x, h₁, …, h_L) = exp(−E) / Z        E = −Σₗ hₗ₋₁ᵀ Wₗ hₗ − Σₗ bₗ·hₗ
        p(hₗ = 1 | neighbours) = σ(bₗ + Wₗᵀ hₗ₋₁ + Wₗ₊₁ hₗ₊₁)

    No connection has a direction, so that what is above explains h₁ as much as what is below.
    Σ_h exp(−E) is not tractable. Mean field finds independent units of means m for which

        B(x) = −⟨E⟩ + H(m) ≤ log Σ_h exp(−E(x, h)),

    and ``lower_bound`` at effort 1 is B(x) − log Z. With effort K > 1 it is
    log (1/K) Σₖ wₖ − log Z, for wₖ = Σ exp(−E) / q of hidden units that mean field proposes, one
    side drawn and the other summed out.

    Log Z is summed where the smaller of both sides, (x, h₂, …) and (h₁, h₃, …), has at most
    ``most_summed`` units. Else it is annealed with ``num_chains`` chains and fixed draws, which
    on average finds too little of it: *the figure is then a bound less an estimate*, as those of
    the literature are, and may lie above log p(x). ``bound_bracket`` has log Z from both sides.
    Log Z is kept until the parameters change. In the gradient of ``log_prob`` it counts
    where it is summed, and is a constant where it is annealed.

    A code is h₁: ``encode`` gives its means by mean field, ``decode`` the exact E[x | h₁], and
    ``prior`` draws it from the model. :meth:`features` gives all layers.

    It learns by mean field against persistent chains, after greedy layers of halved weights:
    see :mod:`genus.objectives.doubled` and :mod:`genus.objectives.persistent_layers`.

    Args:
        space: of the data, Binary; flattened to D units.
        hidden: units of h₁, …, h_L, for two layers or more.
        num_steps: Gibbs steps behind every sample, half of them annealed.
        num_sweeps: Gibbs steps behind every completion, half of them annealed.
        num_mean_field: most sweeps of mean field; fewer where no mean moves any more.
        num_chains: of annealed importance sampling.
        num_temperatures: of the same.
        most_summed: most units of a side over whose states log Z is summed, at most 25.

    Raises:
        ValueError: where the space is not Binary, there are fewer than two hidden layers, or a
            number is out of its range.

    Example:
        >>> import torch, genus
        >>> x = (torch.rand(500, 6) < 0.2).float().cummax(1).values
        >>> model = genus.models.DeepBoltzmannMachine(genus.Binary((6,)), hidden=(4, 3))
        >>> model.fit(x, epochs=2).lower_bound(x).shape
        torch.Size([500])
    """

    def __init__(
        self,
        space: Binary,
        hidden: tuple[int, ...] = (500, 1000),
        *,
        num_steps: int = 1000,
        num_sweeps: int = 200,
        num_mean_field: int = 50,
        num_chains: int = 100,
        num_temperatures: int = 1000,
        most_summed: int = 20,
    ) -> None:
        super().__init__()
        if not isinstance(space, Binary):
            raise ValueError(f"space must be Binary, got {space}; binarise the data")
        self.space = space
        self.hidden = check_sizes(hidden, 2)
        self.num_steps = check_count("num_steps", num_steps)
        self.num_sweeps = check_count("num_sweeps", num_sweeps)
        self.num_mean_field = check_count("num_mean_field", num_mean_field)
        self.num_chains = check_count("num_chains", num_chains)
        if not 0 <= most_summed <= MOST_UNITS:
            raise ValueError(f"most_summed must be 0 to {MOST_UNITS}, got {most_summed}")
        inverse_temperatures(num_temperatures)
        self.num_temperatures = num_temperatures
        self.most_summed = most_summed
        sizes = (space.num_dimensions, *self.hidden)
        self.weights = nn.ParameterList(
            0.01 * torch.randn(below, above) for below, above in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes)
        self.register_buffer("base_bias", torch.zeros(sizes[0]))
        self.base_bias: Tensor
        self._cached = Kept()

    def algorithm(self, *, pretrain: bool = True) -> Algorithm:
        """Greedy layers for a fifth of the budget, then all of them together.

        Args:
            pretrain: whether to begin with the greedy layers; centring does without them too.
        """
        together = Descend(
            PersistentLayers(2, 3, num_chains=100),
            Optimiser("sgd", learning_rate=0.1, betas=(0.5, 0.0), schedule="one-cycle"),
            batch_size=100,
            budget=Budget(epochs=20),
        )
        return self.pretrained(together) if pretrain else together

    def pretrained(
        self, together: Descend, *, share: float = 0.2, k: int = 1, learning_rate: float = 0.1
    ) -> Stages:
        """An algorithm that begins with greedy layers (Salakhutdinov & Hinton 2009, section 3.1).

        Args:
            together: how all layers learn afterwards; its batch size serves for all.
            share: of the budget that the greedy layers take, between 0 and 1.
            k: Gibbs steps of their contrastive divergence.
            learning_rate: theirs.

        Raises:
            ValueError: where the share is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise ValueError(
                f"share must be between 0 and 1, got {share}; to leave the greedy layers out, "
                "take the second algorithm alone"
            )
        optimiser, each = Optimiser("sgd", learning_rate, (0.5, 0.0)), share / len(self.hidden)
        stages, contrast = [], None
        for layer in range(1, len(self.hidden) + 1):
            contrast = DoubledContrast(layer, k, below=contrast)
            greedy = Descend(contrast, optimiser, batch_size=together.batch_size)
            stages.append(Stage(_whole, greedy, each))
        return Stages([*stages, Stage(_whole, together, 1 - share)])

    @torch.no_grad()
    def set_visible_bias(self, mean: Any) -> None:
        """Sets b₀, and the start of annealing, to the log odds of the data's mean.

        Call it before training. A unit that is always 0 or always 1 is given the odds of one
        exception in a thousand.

        Args:
            mean: of the training data, shape ``space.shape``, entries 0 to 1.

        Raises:
            ValueError: where the shape or the range is another.
        """
        odds = log_odds(mean_rate(mean, self.space.shape, self.base_bias))
        self.biases[0].copy_(odds)
        self.base_bias.copy_(odds)

    @torch.no_grad()
    def set_hidden_bias(self, share: float) -> None:
        """Begins the biases of all hidden units at the log odds of a share. Call before training.

        Args:
            share: of hidden units that are on before learning; without this call it is 0.5.

        Raises:
            ValueError: where it does not lie between 0.001 and 0.999.
        """
        odds = odds_of_share(share)
        for bias in list(self.biases)[1:]:
            bias.fill_(odds)

    def layered(self) -> Layered:
        """The layers as they are now, with their gradients."""
        return Layered(tuple(self.weights), tuple(self.biases))

    @torch.no_grad()
    def mean_field(
        self, x: Float[Tensor, "batch visible"], num_sweeps: int | None = None
    ) -> list[Float[Tensor, "batch units"]]:
        """Means of h₁, …, h_L after so many sweeps, or where they settle if none is given."""
        machine = self.layered()
        if num_sweeps is None:
            return machine.explain(x, self.num_mean_field)
        given = machine.given(x)
        means = machine.rise(given)
        for _ in range(num_sweeps):
            means = given.sweep(means)
        return means

    @torch.no_grad()
    def features(self, x: Any) -> Float[Tensor, "batch features"]:
        """The means of all hidden layers, side by side."""
        rows = self.space.check(x, like=self.example).flatten(1).split(MOST_ROWS)
        return torch.cat([torch.cat(self.mean_field(part), 1) for part in rows])

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch first"]:
        return self.mean_field(x.flatten(1))[0]

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        odds = torch.addmm(self.biases[0], z, self.weights[0].T)
        return odds.sigmoid().to(z.dtype).reshape(len(z), *self.space.shape)

    def _prior(self, n: int) -> Float[Tensor, "batch first"]:
        return self._path().climb(n, self.num_steps)[1]

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._path().climb(n, self.num_steps)[0].reshape(n, *self.space.shape)

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        path = self._path(Held(observed.flatten(1), x.flatten(1)))
        return path.climb(len(x), self.num_sweeps)[0].reshape(x.shape)

    def _path(self, held: Held | None = None) -> TemperedLayers:
        """The path from independent units to this machine; its smaller side is kept."""
        machine = Layered([w.detach() for w in self.weights], [b.detach() for b in self.biases])
        start = [self.base_bias, *(torch.zeros_like(b) for b in machine.biases[1:])]
        return TemperedLayers(machine, start, machine.smaller_side(), held)

    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        parts = [self._unnormalised(rows, effort) for rows in x.flatten(1).split(MOST_ROWS)]
        return (torch.cat(parts).double() - self._normaliser()).to(x.dtype)

    def _unnormalised(
        self, x: Float[Tensor, "batch visible"], effort: int
    ) -> Float[Tensor, " batch"]:
        """At most log Σ_h exp(−E(x, h)), on average."""
        machine, means = self.layered().given(x), self.mean_field(x)
        seen = x @ self.biases[0]
        if effort == 1:
            return seen + machine.bound(means)
        parts = []
        for rows in torch.arange(len(x), device=x.device).split(max(1, MOST_ROWS // effort)):
            some, here = machine.rows(rows), [mean[rows] for mean in means]
            sizes = [min(MOST_ROWS, effort - done) for done in range(0, effort, MOST_ROWS)]
            sums = [some.log_weights(here, size).logsumexp(1) for size in sizes]
            parts.append(torch.stack(sums).logsumexp(0))
        return seen + torch.cat(parts) - math.log(effort)

    @property
    def sums_exactly(self) -> bool:
        """Whether log Z is a sum over all states of one side, of at most ``most_summed`` units."""
        sizes = (self.space.num_dimensions, *self.hidden)
        return min(sum(sizes[0::2]), sum(sizes[1::2])) <= self.most_summed

    def _kept(self, name: str, make: Any) -> Any:
        """An answer that depends on the parameters alone, kept until they change."""
        return self._cached.of([*self.weights, *self.biases, self.base_bias], name, make)

    def _normaliser(self) -> Tensor:
        """Log Z in float64: summed, with its gradient, or annealed."""
        if not self.sums_exactly:
            return self.kept_partition().value
        exact: Tensor = self._kept("exact", self.log_partition_exact)
        if not torch.is_grad_enabled():
            return exact
        weights, biases = self._kept("slopes", lambda: self.layered().slopes(exact))
        parameters = [*self.weights, *self.biases]
        return with_gradient(exact, *zip(parameters, [*weights, *biases], strict=True))

    def _constant(self, condition: Tensor | None, n: int) -> Constant:
        if self.sums_exactly:
            exact = Estimated(self._normaliser(), self._normaliser().new_zeros(()))
            sides = [exact] * 4
        else:
            up, down = self.kept_partition(), self.kept_partition(reverse=True)
            sides = [
                Estimated(up.value, up.standard_error),
                Estimated(down.value, down.standard_error),
                Estimated(up.bound, up.bound_error),
                Estimated(down.bound, down.bound_error),
            ]
        return Constant(*(Estimated(*(part.expand(n) for part in side)) for side in sides))

    def kept_partition(self, reverse: bool = False) -> Annealed:
        """:meth:`log_partition` with fixed draws, kept until the parameters change."""
        found: Annealed = self._kept(
            "reverse" if reverse else "forward",
            lambda: self.log_partition(reverse=reverse, seed=int(reverse)),
        )
        return found

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
            num_chains: the model's own by default.
            reverse: anneal from the model down to independent units.
            num_temperatures: the model's own by default.
            seed: makes the draws repeatable.

        Raises:
            ValueError: for fewer than 1 chain or 3 temperatures.
        """
        path, chains = self._path(), count_or("num_chains", num_chains, self.num_chains)
        wanted = count_or("num_temperatures", num_temperatures, self.num_temperatures)
        betas = inverse_temperatures(wanted)
        with seeded(seed, self.example.device):
            start = path.at(path.climb(chains, self.num_steps)) if reverse else None
            ratio = annealed_ratio(path, betas, num_chains=chains, start=start)
        base = path.log_base_partition
        return ratio._replace(value=base + ratio.value, bound=base + ratio.bound)

    def log_partition_exact(self) -> Tensor:
        """Log Z by a sum over all states of the smaller side, in float64.

        Raises:
            ValueError: where both sides have more than 25 units.
        """
        return self.layered().log_partition()

    def to_classifier(
        self,
        num_classes: int,
        *,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        grey: bool = False,
    ) -> SigmoidClassifier:
        """A feed-forward classifier that begins with these layers (Salakhutdinov & Hinton 2009).

        Its inputs are the data and, from a frozen copy of this machine, the means mₗ of the
        layers above the first: h₁ = σ(b₁ + W₁ᵀx + W₂ m₂), and so on for every layer but the
        top, which nothing is above; a softmax tells the label. Where mean field has settled it
        begins with hₗ = mₗ. The published one has two hidden layers, and so a single m₂.

        Args:
            num_classes: how many labels.
            dropout: share of hidden units left out while it learns.
            input_dropout: the same of both inputs.
            grey: whether it takes reals on [0, 1] in the place of bits, such as the grey levels
                that bits are drawn from.

        Raises:
            ValueError: where an argument is out of its range.
        """
        made = SigmoidClassifier(
            Real(self.space.shape) if grey else Binary(self.space.shape),
            num_classes,
            self.hidden,
            dropout=dropout,
            input_dropout=input_dropout,
            num_mean_field=self.num_mean_field,
        ).to(self.example)
        made.begin(self.layered())
        return made


def _whole(model: nn.Module) -> nn.Module:
    return model
