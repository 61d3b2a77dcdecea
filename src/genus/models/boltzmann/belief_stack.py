"""The layers of a deep belief network: up, down, and how probable each way is."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genus.distributions.bernoulli import log_bernoulli
from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.layer import BinaryLayer, GaussianLayer, Layer
from genus.models.boltzmann.layer_path import LayerPath
from genus.models.boltzmann.tempered import softplus

__all__ = ["BeliefStack"]

NUM_PROPOSALS, NUM_RETRIES = 16, 4
ROWS_OF_LABELS = 100


class BeliefStack(nn.Module):
    """Directed layers, each with recognition weights of its own, below an undirected pair.

    A state is a list: x, flat, and the units h₁, ..., u of each directed layer above it.

    Args:
        num_visible: of x.
        hidden: units of h₁, ..., h_L.
        num_labels: of the label unit beside u, 0 for none.
        real: whether x is real, and the lowest layer Gaussian.
    """

    def __init__(
        self, num_visible: int, hidden: tuple[int, ...], num_labels: int, real: bool
    ) -> None:
        super().__init__()
        below, labels = (num_visible, *hidden[:-1]), [0] * (len(hidden) - 1) + [num_labels]
        layers: list[Layer] = [
            BinaryLayer(*sizes) for sizes in zip(below, hidden, labels, strict=True)
        ]
        if real:
            layers[0] = GaussianLayer(num_visible, hidden[0])
        self.layers = nn.ModuleList(layers)
        self.recognisers = nn.ParameterList(
            nn.Parameter(layer.weights.detach().clone()) for layer in layers[:-1]
        )

    def layer(self, number: int) -> Layer:
        """The pair of h_number and h_{number + 1}."""
        return cast(Layer, self.layers[number])

    @property
    def top(self) -> Layer:
        """The undirected pair."""
        return self.layer(-1)

    def recognise(self, number: int, below: Tensor) -> Float[Tensor, "*batch units"]:
        """The log odds of q(h | below), h being the upper side of a directed layer."""
        return self._odds(number, self.layer(number).sent(below))

    def _odds(self, number: int, sent: Tensor) -> Tensor:
        layer = self.layer(number)
        odds = F.linear(sent, self.recognisers[number].T, layer.hidden_bias)
        return odds.to(layer.weights.dtype)

    def ascend(self, x: Tensor, num_layers: int | None = None) -> list[Tensor]:
        """x, flat, and draws of the units of the layers above it, from the recogniser."""
        states = [x.flatten(1)]
        for number in range(len(self.recognisers) if num_layers is None else num_layers):
            states.append(bernoulli(self.recognise(number, states[-1]).sigmoid()))
        return states

    def descend(self, u: Tensor) -> list[Tensor]:
        """Draws of x and of the units above it, up to u, which is the last."""
        states = [u]
        for number in reversed(range(len(self.recognisers))):
            layer = self.layer(number)
            states.insert(0, layer.draw_units(layer.field(states[0])))
        return states

    def log_generated(self, states: list[Tensor]) -> Float[Tensor, "*batch"]:
        """log p of all but the last of these states given it."""
        total = states[0].new_zeros(states[0].shape[:-1])
        for number, (below, above) in enumerate(pairwise(states)):
            layer = self.layer(number)
            total = total + layer.log_units(below, layer.field(above))
        return total

    def log_recognised(self, states: list[Tensor]) -> Float[Tensor, "*batch"]:
        """log q of all but the first of these states given it.

        Its gradient is that of the recogniser: the deviation of real data, which divides what
        they send, belongs to p and is held fast.
        """
        total = states[0].new_zeros(states[0].shape[:-1])
        for number, (below, above) in enumerate(pairwise(states)):
            sent = self.layer(number).sent(below).detach()
            total = total + log_bernoulli(self._odds(number, sent), above)
        return total

    def units_of(self, visible: Tensor) -> Float[Tensor, "batch units"]:
        """The visible side of the top pair without its label."""
        return visible[:, : self.top.num_units]

    def free_energy(self, u: Tensor, depth: int, labels: Tensor | None) -> Tensor:
        """F(u, y) + d_y of layer ``depth`` as a pair, for u of shape (batch, samples, units)."""
        layer = self.layer(depth - 1)
        activation = layer.sent(u) @ layer.unit_weights + layer.biases_of(labels).unsqueeze(1)
        return layer.energy_of_units(u) - softplus(activation.to(u.dtype)).sum(-1)

    def log_weights(
        self, x: Tensor, labels: Tensor | None, num_samples: int, depth: int
    ) -> Float[Tensor, "batch samples"]:
        """log p(x, h) + log Z − log q(h | x) of the network that ends after ``depth`` layers."""
        states, total = [x.flatten(1).unsqueeze(1)], x.new_zeros(len(x), num_samples)
        for number in range(depth - 1):
            odds = self.recognise(number, states[-1])
            drawn = bernoulli(odds.sigmoid().expand(-1, num_samples, -1))
            layer = self.layer(number)
            total = total + layer.log_units(states[-1], layer.field(drawn))
            total = total - log_bernoulli(odds, drawn)
            states.append(drawn)
        return total - self.free_energy(states[-1], depth, labels)

    def hidden_means(self, u: Tensor, labels: Tensor | None) -> Float[Tensor, "batch hidden"]:
        """E[h_L | u, y]."""
        return (self.top.sent(u) @ self.top.unit_weights + self.top.biases_of(labels)).sigmoid()

    def means(self, x: Tensor) -> list[Float[Tensor, "batch units"]]:
        """x, flat, and means of the units of each directed layer above it, passed up."""
        means = [x.flatten(1)]
        for number in range(len(self.recognisers)):
            means.append(self.recognise(number, means[-1]).sigmoid())
        return means

    def classify(self, u: Tensor) -> Float[Tensor, "batch label"]:
        """p(y | u), by the free energy of each label."""
        activation, top = self.top.activation_of_units(u), self.top
        parts = (top.with_every_label(rows) for rows in activation.split(ROWS_OF_LABELS))
        return torch.cat([top.log_odds_of_labels(part).softmax(1) for part in parts])

    def features(self, u: Tensor) -> Float[Tensor, "batch hidden"]:
        """E[h_L | u]: Σ_y p(y | u) E[h_L | u, y] where there are labels, with one product."""
        activation, top = self.top.activation_of_units(u), self.top
        if not top.num_labels:
            return activation.sigmoid()
        means = []
        for rows in activation.split(ROWS_OF_LABELS):
            each = top.with_every_label(rows)
            shares = top.log_odds_of_labels(each).softmax(1)
            means.append(torch.bmm(shares.unsqueeze(1), each.sigmoid()).squeeze(1))
        return torch.cat(means)

    def fill(
        self, x: Tensor, observed: Tensor, labels: Tensor | None, num_sweeps: int
    ) -> Float[Tensor, "batch visible"]:
        """x with draws where it is not observed: a chain that begins without memory of it.

        A sweep is ``resample``, which moves far where the recogniser is good, ``retry``, which
        does not need it, and a draw of what is missing given h₁.
        """
        path = LayerPath(self.top, self.top.biases_of(labels))
        start, *hidden = self.descend(path.start(len(x)).visible)
        state = torch.where(observed, x, start)
        for _ in range(num_sweeps):
            if hidden:
                hidden = self.resample(state, hidden, labels)
                for _ in range(NUM_RETRIES):
                    hidden = self.retry(state, observed, hidden, path)
                lowest = self.layer(0)
                drawn = lowest.draw_units(lowest.field(hidden[0]))
            else:
                drawn = path.draw(path.at(state), 1.0)
            state = torch.where(observed, x, drawn)
        return state

    def resample(self, x: Tensor, hidden: list[Tensor], labels: Tensor | None) -> list[Tensor]:
        """One of h and its proposals from q(h | x), by their weights.

        Algorithm 1 of Andrieu, Lee & Vihola (2018) with independent proposals.
        """
        rows = x.unsqueeze(1).expand(-1, NUM_PROPOSALS, -1)
        drawn = self.ascend(rows.reshape(-1, x.shape[1]))[1:]
        several = [
            torch.cat([here.unsqueeze(1), new.unflatten(0, (len(x), -1))], 1)
            for here, new in zip(hidden, drawn, strict=True)
        ]
        states = [x.unsqueeze(1), *several]
        weights = self.log_generated(states) - self.log_recognised(states)
        weights = weights - self.free_energy(several[-1], len(self.layers), labels)
        chosen = torch.multinomial(weights.softmax(1), 1).squeeze(1)
        return [units[torch.arange(len(x), device=x.device), chosen] for units in several]

    def retry(
        self, x: Tensor, observed: Tensor, hidden: list[Tensor], path: LayerPath
    ) -> list[Tensor]:
        """Layer by layer from below, some units drawn anew from what is above them, or kept.

        A share of the units of hₗ, from one of them to all, is drawn from p(hₗ | hₗ₊₁), or for u
        by a Gibbs step of the top pair; each is reversible for p(hₗ | above). Hence the draw is
        accepted with the ratio of p(hₗ₋₁ | hₗ), for h₁ that of the observed x alone, as the
        others follow in the next draw (Metropolis).
        """
        moved = list(hidden)
        for number, here in enumerate(hidden):
            if number + 1 < len(hidden):
                above = self.layer(number + 1)
                drawn = above.draw_units(above.field(moved[number + 1]))
            else:
                drawn = path.draw(path.at(here), 1.0)
            share = here.shape[1] ** -torch.rand_like(here[:, :1])
            proposed = torch.where(torch.rand_like(here) < share, drawn, here)
            layer = self.layer(number)
            below, seen = (moved[number - 1], None) if number else (x, observed)
            gain = layer.log_units(below, layer.field(proposed), seen)
            gain = gain - layer.log_units(below, layer.field(here), seen)
            kept = torch.rand_like(gain).log() < gain
            moved[number] = torch.where(kept.unsqueeze(1), proposed, here)
        return moved
