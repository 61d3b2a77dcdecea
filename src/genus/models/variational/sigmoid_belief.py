"""Sigmoid belief network (Neal 1992) with a recognition network (Hinton et al. 1995)."""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from genus.distributions.bernoulli import log_bernoulli, log_bernoulli_each
from genus.distributions.head import at_least_float32
from genus.distributions.odds import log_odds, mean_rate
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.counts import check_count
from genus.inference.gibbs import bernoulli
from genus.model import Conditional, Encodes, Predicts, WeightedBound
from genus.objectives.wake_sleep import Explained, WakeSleep
from genus.spaces import Binary

__all__ = ["SigmoidBeliefNetwork"]

MOST_ROWS = 2048
NUM_COMPLETIONS = 4
NUM_PROPOSALS = 16
NUM_SAMPLES = 1000


class Generator(nn.Module):
    """p(x, h) = p(h_L) Πₗ p(h_{l−1} | h_l), from the top down; h₀ = x.

    Args:
        sizes: units of x, h₁, ..., h_L.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.top = nn.Parameter(torch.zeros(sizes[-1]))
        self.layers = nn.ModuleList(nn.Linear(above, below) for below, above in pairwise(sizes))

    def draw(self, n: int) -> list[Float[Tensor, "batch units"]]:
        """n draws of x, h₁, ..., h_L."""
        drawn = [bernoulli(self.top.sigmoid().expand(n, -1))]
        for layer in reversed(self.layers):
            drawn.insert(0, bernoulli(at_least_float32(layer(drawn[0])).sigmoid()))
        return drawn

    def log_prior(self, hidden: list[Tensor]) -> Float[Tensor, "batch samples"]:
        """log p(h₁, ..., h_L)."""
        total = log_bernoulli(self.top, hidden[-1])
        for layer, below, above in zip(self.layers[1:], hidden, hidden[1:], strict=False):
            total = total + log_bernoulli(layer(above), below)
        return total


class Recogniser(nn.Module):
    """q(h | x) = Πₗ q(h_l | h_{l−1}), from the data upwards, each layer factorised.

    Args:
        sizes: units of x, h₁, ..., h_L.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))

    def draw(
        self, x: Float[Tensor, "batch visible"], num_samples: int
    ) -> tuple[list[Float[Tensor, "batch samples units"]], Float[Tensor, "batch samples"]]:
        """Draws of h₁, ..., h_L, and log q(h | x) with its gradient."""
        logits = self.layers[0](x).unsqueeze(1)
        drawn = [bernoulli(at_least_float32(logits).sigmoid().expand(-1, num_samples, -1))]
        total = log_bernoulli(logits, drawn[0])
        for layer in self.layers[1:]:
            logits = layer(drawn[-1])
            drawn.append(bernoulli(at_least_float32(logits).sigmoid()))
            total = total + log_bernoulli(logits, drawn[-1])
        return drawn, total

    def log_upper(self, hidden: list[Tensor]) -> Float[Tensor, "batch samples"] | float:
        """log q(h₂, ..., h_L | h₁)."""
        steps = zip(self.layers[1:], hidden, hidden[1:], strict=False)
        return sum(log_bernoulli(layer(below), above) for layer, below, above in steps)

    def log_prob(self, x: Tensor, hidden: list[Tensor]) -> Float[Tensor, "batch samples"]:
        """log q(h | x) of given units."""
        lowest = log_bernoulli(self.layers[0](x).unsqueeze(1), hidden[0])
        return lowest + self.log_upper(hidden)


class SigmoidBeliefNetwork(WeightedBound, Encodes, Predicts):
    """Layers of binary causes, each drawn given the one above; binary data at the bottom.

        p(h_L) = Π σ(a)    p(h_{l−1} = 1 | h_l) = σ(b_l + W_l h_l)    h₀ = x
        q(h_l = 1 | h_{l−1}) = σ(c_l + V_l h_{l−1})

    ``lower_bound`` with effort K is log (1/K) Σ p(x, hₖ)/q(hₖ | x) with hₖ ~ q(h | x), in pieces,
    so that memory does not grow with K. The gradient of that answer holds the draws fixed: it
    is unbiased for p, while q is learnt by :mod:`genus.objectives.wake_sleep`.

    A code is h₁, given which x does not depend on the layers above: ``prior`` draws it,
    ``decode`` is the exact E[x | h₁], and ``encode`` the mean of q(h₁ | x). ``complete`` draws h
    anew by iterated sampling importance resampling (Andrieu, Lee & Vihola 2018) and what is
    missing given h: a chain that leaves p(missing | observed) unchanged whatever the
    recognition network, and reaches it as ``num_sweeps`` grows.

    Args:
        space: of the data, Binary.
        hidden: units of h₁, ..., h_L; any number of layers.
        num_sweeps: steps of the chain that completes.

    Raises:
        ValueError: where the space is not Binary or a number is below 1.

    Example:
        >>> import torch, genus
        >>> x = torch.bernoulli(torch.full((64, 6), 0.3))
        >>> model = genus.models.SigmoidBeliefNetwork(genus.Binary((6,)), hidden=(5, 3))
        >>> model.fit(x, epochs=1).lower_bound(x, effort=10).shape
        torch.Size([64])
    """

    def __init__(
        self, space: Binary, hidden: tuple[int, ...] = (200, 200, 200), *, num_sweeps: int = 200
    ) -> None:
        super().__init__()
        if not isinstance(space, Binary):
            raise ValueError(f"space must be Binary, got {space}; binarise the data")
        if not isinstance(hidden, tuple | list) or not hidden:
            raise ValueError(
                "hidden must be one or more layers of at least 1 unit, such as (200, 200), "
                f"got {hidden!r}"
            )
        self.space = space
        self.num_sweeps = check_count("num_sweeps", num_sweeps)
        sizes = (space.num_dimensions, *(check_count("hidden", size) for size in hidden))
        self.generator = Generator(sizes)
        self.recogniser = Recogniser(sizes)

    def algorithm(self) -> Algorithm:
        """Adam on reweighted wake–sleep with 5 draws, q learning awake and asleep."""
        optimiser = Optimiser(learning_rate=0.02, schedule="one-cycle")
        return Descend(WakeSleep(5, "both"), optimiser, batch_size=100, budget=Budget(epochs=50))

    @torch.no_grad()
    def set_visible_bias(self, mean: Tensor) -> None:
        """Makes b₁ the log odds of the data's mean, and centres the data for q: c₁ = −V₁ mean.

        Call it before training. A unit that is always 0 or always 1 is given the odds of one
        exception in a thousand.

        Args:
            mean: of the training data, shape ``space.shape``, entries 0 to 1.

        Raises:
            ValueError: where the shape or the range is another.
        """
        rate = mean_rate(mean, self.space.shape, self.example)
        down = cast(nn.Linear, self.generator.layers[0])
        up = cast(nn.Linear, self.recogniser.layers[0])
        down.bias.copy_(log_odds(rate))
        up.bias.copy_(-(up.weight @ rate))

    def _field(self, h: Tensor) -> Float[Tensor, "*batch visible"]:
        """b₁ + W₁ h₁, the log odds of x."""
        return at_least_float32(self.generator.layers[0](h))

    def _log_joint(self, x: Tensor, hidden: list[Tensor]) -> Float[Tensor, "batch samples"]:
        """log p(x, h) of data ``(batch, visible)`` and units ``(batch, samples, units)``."""
        log_likelihood = log_bernoulli(self._field(hidden[0]), x.unsqueeze(1))
        return log_likelihood + self.generator.log_prior(hidden)

    def _explain(self, x: Tensor, num_samples: int) -> Explained:
        """Draws from q, and what is known of them."""
        flat = x.flatten(1)
        hidden, log_recognition = self.recogniser.draw(flat, num_samples)
        return Explained(self._log_joint(flat, hidden), log_recognition)

    def _dream(self, n: int) -> Float[Tensor, " batch"]:
        """log q(h | x) of n draws (x, h) from p."""
        with torch.no_grad():
            x, *hidden = self.generator.draw(n)
        return self.recogniser.log_prob(x, [h.unsqueeze(1) for h in hidden]).squeeze(1)

    def _log_weights(
        self, x: Tensor, condition: Tensor | None, num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        log_joint, log_recognition = self._explain(x, num_samples)
        return log_joint - log_recognition

    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        parts = []
        for rows in x.split(max(1, MOST_ROWS // effort)):
            sizes = [min(MOST_ROWS, effort - done) for done in range(0, effort, MOST_ROWS)]
            sums = [self._log_weights(rows, None, size).logsumexp(1) for size in sizes]
            parts.append(torch.stack(sums).logsumexp(0))
        return torch.cat(parts) - math.log(effort)

    def _prior(self, n: int) -> Float[Tensor, "batch units"]:
        return self.generator.draw(n)[1]

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self.generator.draw(n)[0].reshape(n, *self.space.shape)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self._field(z).sigmoid().reshape(len(z), *self.space.shape)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch units"]:
        return at_least_float32(self.recogniser.layers[0](x.flatten(1))).sigmoid()

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        size = MOST_ROWS // NUM_PROPOSALS
        masks = observed.flatten(1).split(size)
        rows = zip(x.flatten(1).split(size), masks, strict=True)
        return torch.cat([self._chain(some, mask) for some, mask in rows]).reshape(x.shape)

    def _chain(self, x: Tensor, observed: Tensor) -> Float[Tensor, "batch visible"]:
        """Begins at a draw of the model and goes on for ``num_sweeps`` steps."""
        start, *hidden = self.generator.draw(len(x))
        state = torch.where(observed, x, start)
        for _ in range(self.num_sweeps):
            state, hidden = self._sweep(state, hidden, observed)
        return state

    def _sweep(
        self, x: Tensor, hidden: list[Tensor], observed: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """One of h and its proposals from q(h | x), by their weights; then what is missing.

        Algorithm 1 of Andrieu, Lee & Vihola (2018) with independent proposals: the present h
        stands among them, so that p(h | x) is left unchanged.
        """
        drawn, log_recognition = self.recogniser.draw(x, NUM_PROPOSALS)
        present = [h.unsqueeze(1) for h in hidden]
        log_present = self.recogniser.log_prob(x, present)
        several = [torch.cat(both, 1) for both in zip(present, drawn, strict=True)]
        weights = self._log_joint(x, several) - torch.cat([log_present, log_recognition], 1)
        chosen = torch.multinomial(weights.softmax(1), 1).squeeze(1)
        hidden = [h[torch.arange(len(x), device=x.device), chosen] for h in several]
        return torch.where(observed, x, bernoulli(self._field(hidden[0]).sigmoid())), hidden

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log p(x) − log p(observed), both from the same importance samples of h.

        They come from an even mixture of q(h | x) and q(h | completion) for some completions of
        what is observed, so that both sums are covered. The difference of two lower bounds is
        no bound, but both close as ``effort`` (samples, 1,000 by default) grows.
        """
        flat, mask = x.flatten(1), observed.flatten(1)
        times = NUM_COMPLETIONS
        filled = self._complete(
            flat.repeat_interleave(times, 0), mask.repeat_interleave(times, 0), None
        )
        seen = torch.cat([flat.unsqueeze(1), filled.unflatten(0, (-1, times))], 1)
        count = math.ceil((effort or NUM_SAMPLES) / (times + 1))
        size = max(1, MOST_ROWS // (count * (times + 1)))
        rows = zip(flat.split(size), seen.split(size), mask.split(size), strict=True)
        parts = [self._conditional_of(*some, count) for some in rows]
        return Conditional(torch.cat(parts), "~")

    def _conditional_of(
        self, x: Tensor, seen: Tensor, observed: Tensor, count: int
    ) -> Float[Tensor, " batch"]:
        """log Σ w p(missing | h) / Σ w with w = p(h) p(observed | h) / r(h).

        ``count`` draws come from q(h | s) of each version s in ``seen``, and r is the mixture of
        all versions. A few draws at a time: memory does not grow with ``count``.
        """
        batch, versions, _ = seen.shape
        logits = at_least_float32(self.recogniser.layers[0](seen))
        most = max(1, MOST_ROWS // (batch * versions))
        parts = []
        for start in range(0, count, most):
            number = min(most, count - start)
            drawn, _ = self.recogniser.draw(seen.flatten(0, 1), number)
            hidden = [h.unflatten(0, (batch, versions)).flatten(1, 2) for h in drawn]
            each = log_bernoulli_each(self._field(hidden[0]), x.unsqueeze(1))
            lowest = hidden[0] @ logits.mT - softplus(logits, threshold=30.0).sum(2).unsqueeze(1)
            log_r = lowest.logsumexp(2) + self.recogniser.log_upper(hidden)
            known = torch.where(observed.unsqueeze(1), each, 0.0).sum(2)
            log_w = self.generator.log_prior(hidden) + known - log_r
            parts.append(torch.stack([log_w, log_w + each.sum(2) - known]).logsumexp(2))
        evidence, joint = torch.stack(parts).logsumexp(0)
        return joint - evidence
