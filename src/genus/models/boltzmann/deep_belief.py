"""The deep belief network (Hinton, Osindero & Teh 2006)."""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.odds import log_odds, mean_rate, odds_of_share
from genus.engine import Algorithm
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.model import (
    Classifies,
    Completes,
    Constant,
    Encodes,
    Estimated,
    LayeredBound,
    WeightedBound,
)
from genus.models.boltzmann.belief_stack import BeliefStack
from genus.models.boltzmann.classifier import SigmoidClassifier
from genus.models.boltzmann.greedy import Shared, layer_by_layer, layer_rates
from genus.models.boltzmann.layer import GaussianLayer, Layer
from genus.models.boltzmann.layer_path import LayerPath, LogPartitions, is_summed
from genus.models.boltzmann.sizes import check_sizes
from genus.spaces import Binary, Categorical, Real

__all__ = ["DeepBeliefNetwork"]

MOST_ROWS = 2048
REAL_SHARE, MOST_REAL_RATE = 0.2, 0.02
NUM_PROPOSALS = 16


class DeepBeliefNetwork(LayeredBound, WeightedBound, Encodes, Completes, Classifies):
    """Directed layers of binary causes below a restricted Boltzmann machine.

        p(x, h₁, ..., u) = p(x | h₁) p(h₁ | h₂) ⋯ p(u)      u = h_{L−1}; of one layer, u = x
        p(h_{l−1} = 1 | h_l) = σ(b_l + W_l h_l)             of real x: N(σ (b₁ + W₁ h₁), σ²)
        p(u) = exp(−F(u)) / Z        F(u) = −b·u − Σⱼ softplus(cⱼ + (uᵀW)ⱼ)
        q(h_l = 1 | h_{l−1}) = σ(c_l + R_lᵀ h_{l−1})        R_l = W_l until up–down moves them apart

    With ``condition`` a softmax label unit y stands beside u: F(u, y) = −d_y − b·u − Σⱼ
    softplus(cⱼ + (uᵀW)ⱼ + U_yj), and the density is p(x | y), with a log Z for each label.

    ``lower_bound`` with effort K is log (1/K) Σ p(x, hₖ)/q(hₖ | x), hₖ ~ q(h | x), without
    gradient. Log Z is summed where a side of the top pair has at most 16 units, and then this
    is a bound that closes on log p(x). Else it is annealed with ``num_chains`` chains (for each
    label), kept until the parameters change, and the figure is a bound less an estimate, which
    may lie above log p(x): ``bound_bracket`` has its error and the figure with log Z from above.

    A code is h_L: ``encode`` passes means up, ``decode`` passes them down, which for one layer
    is exact. ``complete`` draws the hidden units by iterated sampling importance resampling
    from q, and layer by layer without q, and then what is missing: a chain that leaves
    p(missing | observed) unchanged.

    Args:
        space: of the data: Binary, or Real for a Gaussian lowest layer.
        hidden: units of h₁, ..., h_L; of one layer the network is an RBM.
        condition: of scalar labels, or None.
        num_steps: Gibbs steps of the top pair behind every sample, half of them annealed.
        num_sweeps: steps of the chain that completes.
        num_temperatures: of annealed importance sampling.
        num_chains: of the same.

    Raises:
        ValueError: where an argument is out of its range, or labels would stand beside real data.

    Example:
        >>> import torch, genus
        >>> x = torch.bernoulli(torch.full((64, 6), 0.3))
        >>> model = genus.models.DeepBeliefNetwork(genus.Binary((6,)), hidden=(5, 3))
        >>> model.fit(x, epochs=1).layer_bounds(x).value.shape
        torch.Size([64, 2])
    """

    def __init__(
        self,
        space: Binary | Real,
        hidden: tuple[int, ...] = (500, 500, 2000),
        *,
        condition: Categorical | None = None,
        num_steps: int = 1000,
        num_sweeps: int = 200,
        num_temperatures: int = 1000,
        num_chains: int = 100,
    ) -> None:
        super().__init__()
        hidden = check_sizes(hidden)
        _check_spaces(space, hidden, condition)
        for name, value in (
            ("num_steps", num_steps),
            ("num_sweeps", num_sweeps),
            ("num_chains", num_chains),
        ):
            check_count(name, value)
        self.space, self.condition, self.hidden = space, condition, hidden
        self.num_steps, self.num_sweeps = num_steps, num_sweeps
        num_labels = 0 if condition is None else condition.num_categories
        real = isinstance(space, Real)
        self.stack = BeliefStack(space.num_dimensions, hidden, num_labels, real)
        self._partitions = [LogPartitions(num_steps, num_temperatures, num_chains) for _ in hidden]

    def algorithm(
        self,
        *,
        learning_rate: float | Sequence[float] = 0.05,
        momentum: float = 0.5,
        weight_decay: float = 0.0,
        k: int = 1,
        num_chains: int | None = 100,
        up_down: float = 0.0,
        up_down_rate: float = 0.01,
        batch_size: int = 100,
    ) -> Algorithm:
        """Layer by layer from the bottom, each as an RBM; then up–down of all of them.

        Each layer sees draws of the units below it and not their means: the bound is an
        expectation over draws, so that what makes draws likely raises it. Labels join the last
        layer. The chains of a lowest layer of real data begin at the data: see
        :meth:`~genus.models.boltzmann.greedy.Shared.learner_of_reals`.

        Args:
            learning_rate: one for each layer from the bottom, or one for all; of one for all
                real data take a fifth in the lowest, at most 0.02, which learns by Adam.
            momentum: of stochastic gradient descent.
            weight_decay: of the layers.
            k: Gibbs steps between two steps of learning.
            num_chains: of persistent chains; None begins chains at the data.
            up_down: share of up–down, where a layer has a share of 1; 0 leaves it out.
            up_down_rate: its learning rate.
            batch_size: examples a step.

        Raises:
            ValueError: where there are more rates than layers or fewer, or an argument is out of
                its range.
        """
        rates = layer_rates(learning_rate, len(self.stack.layers))
        real = isinstance(self.space, Real)
        if real and not isinstance(learning_rate, Sequence):
            rates = (min(REAL_SHARE * rates[0], MOST_REAL_RATE), *rates[1:])
        shared = Shared(k, num_chains, momentum, weight_decay, batch_size)
        return layer_by_layer(rates, shared, up_down, up_down_rate, real=real)

    @torch.no_grad()
    def set_visible_bias(self, mean: Any, deviation: Any = None) -> None:
        """Begins b₁ at the data's mean: its log odds where they are binary. Call before training.

        Args:
            mean: of the training data, shape ``space.shape``.
            deviation: of real data, where σ begins; shape ``space.shape``, positive.

        Raises:
            ValueError: where a shape or a range is another.
        """
        lowest = self.stack.layer(0)
        bias = lowest.visible_bias[: lowest.num_units]
        if not isinstance(lowest, GaussianLayer):
            rate = mean_rate(mean, self.space.shape, self.example)
            bias.copy_(log_odds(rate))
            lowest.unit_mean.copy_(rate)
            return
        middle, spread = (
            _entries(name, given, self.space.shape, self.example)
            for name, given in (("mean", mean), ("deviation", deviation))
        )
        if not bool((spread > 0).all()):
            raise ValueError("deviation must be positive; drop what is constant in the data")
        bias.copy_(middle / spread)
        lowest.log_deviation.copy_(spread.log())

    @torch.no_grad()
    def set_hidden_bias(self, share: float) -> None:
        """Begins the biases of all hidden units at the log odds of a share. Call before training.

        Where few are on at first, each comes to stand for a detail of its own, and features tell
        classes apart better (Hinton 2010, section 8.1). But it takes long until all have found
        one: for a hundred units and a few hundred steps 0.25 is better than 0.02.

        Args:
            share: of hidden units that are on before learning; without this call it is 0.5. A
                layer that begins as the transpose of the one below forgets it.

        Raises:
            ValueError: where it does not lie between 0.001 and 0.999.
        """
        odds = odds_of_share(share)
        for layer in self.stack.layers:
            assert isinstance(layer, Layer)
            layer.hidden_bias.fill_(odds)

    @property
    def sums_exactly(self) -> bool:
        """Whether log Z is a sum over all states of a side of the top pair."""
        return is_summed(self.stack.top)

    def _partition(self, depth: int, labels: Tensor | None, *, reverse: bool = False) -> Tensor:
        """Log Z for each label, and its error and bounds: shape (4, rows)."""
        found = self._partitions[depth - 1].of(self.stack.layer(depth - 1), reverse=reverse)
        stacked = torch.stack(found)
        return stacked if labels is None else stacked[:, labels]

    @torch.no_grad()
    def _log_weights(
        self, x: Tensor, condition: Tensor | None, num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        depth = len(self.stack.layers)
        log_z = self._partition(depth, condition)[0]
        weights = self.stack.log_weights(x, condition, num_samples, depth)
        return (weights.double() - log_z.unsqueeze(1)).to(x.dtype)

    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        return self._bound(x, condition, effort, len(self.stack.layers))

    @torch.no_grad()
    def _bound(
        self, x: Tensor, labels: Tensor | None, effort: int, depth: int
    ) -> Float[Tensor, " batch"]:
        """The bound of the network that ends after ``depth`` layers, in pieces."""
        log_z = self._partition(depth, labels)[0]
        parts, size = [], max(1, MOST_ROWS // effort)
        for rows in torch.arange(len(x), device=x.device).split(size):
            given = None if labels is None else labels[rows]
            sums = [
                self.stack.log_weights(
                    x[rows], given, min(MOST_ROWS, effort - done), depth
                ).logsumexp(1)
                for done in range(0, effort, MOST_ROWS)
            ]
            parts.append(torch.stack(sums).logsumexp(0))
        return (torch.cat(parts).double() - math.log(effort) - log_z).to(x.dtype)

    def _layer_bounds(self, x: Tensor, condition: Tensor | None, effort: int) -> list[Estimated]:
        """Each with its last pair undirected is a deep belief network.

        While the weights are tied, the first is log p(x) of an RBM; a layer that begins as the
        transpose of the one below it leaves the bound where it is.
        """
        depth, found = len(self.stack.layers), []
        for number in range(1, depth + 1):
            labels = condition if number == depth else None
            error = self._partition(number, labels)[1].expand(len(x)).to(x.dtype)
            found.append(Estimated(self._bound(x, labels, effort, number), error))
        return found

    def _constant(self, condition: Tensor | None, n: int) -> Constant:
        depth = len(self.stack.layers)
        up = self._partition(depth, condition).expand(-1, n)
        down = self._partition(depth, condition, reverse=True).expand(-1, n)
        return Constant(
            value=Estimated(up[0], up[1]),
            reverse=Estimated(down[0], down[1]),
            lower=Estimated(up[2], up[3]),
            upper=Estimated(down[2], down[3]),
        )

    def _chain(self, n: int, labels: Tensor | None) -> Float[Tensor, "batch units"]:
        """n draws of u from the top pair."""
        return LayerPath(self.stack.top, self.stack.top.biases_of(labels)).climb(n, self.num_steps)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self.stack.descend(self._chain(n, condition))[0].reshape(n, *self.space.shape)

    def _prior(self, n: int) -> Float[Tensor, "batch hidden"]:
        """Labels by p(y) ∝ exp(d_y) Z_y, then u by the chain, then h_L."""
        top, labels = self.stack.top, None
        if top.num_labels:
            log_p = (
                top.visible_bias[top.num_units :] + self._partition(len(self.stack.layers), None)[0]
            )
            labels = torch.multinomial(log_p.softmax(0), n, replacement=True)
        return bernoulli(self.stack.hidden_means(self._chain(n, labels), labels))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch hidden"]:
        return self.stack.hidden_means(self.stack.means(x)[-1], condition)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        means = z
        for layer in reversed(self.stack.layers):
            assert isinstance(layer, Layer)
            means = layer.mean_units(layer.field(means)[:, : layer.num_units])
        return means.reshape(len(z), *self.space.shape)

    @torch.no_grad()
    def features(
        self, x: Tensor, *, layers: Literal["last", "all"] = "last"
    ) -> Float[Tensor, "batch features"]:
        """Means of hidden units, passed up: those of h_L, or of h₁, ..., h_L side by side.

        A label unit weighs in with the probabilities that ``classify`` gives.

        Raises:
            ValueError: where x is not in the space, or ``layers`` is neither.
        """
        if layers not in ("last", "all"):
            raise ValueError(f"layers must be 'last' or 'all', got {layers!r}")
        parts = []
        for rows in self.space.check(x, like=self.example).split(MOST_ROWS):
            means = self.stack.means(rows)
            last = self.stack.features(means[-1])
            parts.append(torch.cat([*means[1:], last], 1) if layers == "all" else last)
        return torch.cat(parts)

    def _classify(self, x: Tensor) -> Float[Tensor, "batch label"]:
        """p(y | u) for the means u that are passed up; of one layer p(y | x) itself."""
        return self.stack.classify(self.stack.means(x)[-1])

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        size = MOST_ROWS // NUM_PROPOSALS
        parts = []
        for rows in torch.arange(len(x), device=x.device).split(size):
            given = None if condition is None else condition[rows]
            parts.append(
                self.stack.fill(
                    x[rows].flatten(1), observed[rows].flatten(1), given, self.num_sweeps
                )
            )
        return torch.cat(parts).reshape(x.shape)

    @torch.no_grad()
    def to_classifier(
        self,
        num_classes: int | None = None,
        *,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        grey: bool = False,
    ) -> SigmoidClassifier:
        """A feed-forward classifier that begins with the recognition weights.

        The softmax on top is new, or where the network has labels begins with their weights.

        Args:
            num_classes: by default the number of this network's labels.
            dropout: share of hidden units left out while it learns.
            input_dropout: the same of the data.
            grey: whether it takes reals on [0, 1] in the place of bits, such as the grey levels
                that bits are drawn from.

        Raises:
            ValueError: where ``num_classes`` is missing, or other than the network's; where
                data that are real already should be grey.
        """
        known = self.stack.top.num_labels or None
        count = known if num_classes is None else num_classes
        if count is None or (known is not None and count != known):
            raise ValueError(f"num_classes must be given, and {known or 'any'} here; got {count}")
        space = cast(Binary | Real, self.space)
        if grey and isinstance(space, Real):
            raise ValueError("grey stands for bits, but the data are real already; drop it")
        hidden = tuple(len(cast(Layer, layer).hidden_bias) for layer in self.stack.layers)
        made = SigmoidClassifier(
            Real(space.shape) if grey else space,
            count,
            hidden,
            dropout=dropout,
            input_dropout=input_dropout,
        ).to(self.example)
        ups = [*self.stack.recognisers, self.stack.top.unit_weights]
        for linear, layer, weights in zip(made.layers, self.stack.layers, ups, strict=True):
            assert isinstance(linear, nn.Linear)
            assert isinstance(layer, Layer)
            scale = layer.sent(torch.ones_like(weights[:, 0]))
            linear.weight.copy_((weights * scale.unsqueeze(1)).T)
            linear.bias.copy_(layer.hidden_bias)
        if known is not None:
            made.label.weight.copy_(self.stack.top.weights[self.stack.top.num_units :])
            made.label.bias.copy_(self.stack.top.visible_bias[self.stack.top.num_units :])
        return made


def _entries(name: str, given: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A finite number for each entry of a datum, flat."""
    found = torch.as_tensor(torch.nan if given is None else given).to(like)
    if found.shape != shape or not bool(found.isfinite().all()):
        raise ValueError(f"{name} must be finite, of shape {shape}, got {given}")
    return found.flatten()


def _check_spaces(
    space: Binary | Real, hidden: tuple[int, ...], labels: Categorical | None
) -> None:
    if not isinstance(space, Binary | Real):
        raise ValueError(
            f"space must be Binary or Real, got {space}; binarise the data, or dequantise levels"
        )
    if labels is None:
        return
    if not isinstance(labels, Categorical) or labels.shape != () or labels.num_categories < 2:
        raise ValueError(f"condition must be Categorical((), 2 or more), got {labels}")
    if isinstance(space, Real) and len(hidden) == 1:
        raise ValueError("labels join binary units: for real data give hidden at least two layers")
