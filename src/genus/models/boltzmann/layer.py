"""Two neighbouring layers: a restricted Boltzmann machine, or the way down through one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genus.distributions.bernoulli import log_bernoulli_each
from genus.distributions.odds import log_odds
from genus.inference.enumerate import log_sum, log_sum_pairs
from genus.inference.gibbs import bernoulli
from genus.models.boltzmann.tempered import softplus

__all__ = ["BinaryLayer", "GaussianLayer", "Layer"]

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class Layer(nn.Module, ABC):
    """Units u and the binary units h above them, joined only across.

    Undirected, as the top pair of a network or while it learns, it is a restricted Boltzmann
    machine; directed, only p(u | h) is asked of it.

    Args:
        num_units: of u.
        num_hidden: of h.
        num_labels: of a softmax unit that stands beside u, 0 for none. The visible side is then
            (u, one-hot label), and so are the rows of ``weights``.

    Attributes:
        unit_mean: of u in the data, a slow average: where annealing begins.
        binary: whether a unit of u is 1 with probability σ(its field), else 0; the pair turned
            upside down is then such a layer too.
    """

    binary = False

    def __init__(self, num_units: int, num_hidden: int, num_labels: int = 0) -> None:
        super().__init__()
        self.num_units, self.num_labels = num_units, num_labels
        self.weights = nn.Parameter(0.01 * torch.randn(num_units + num_labels, num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(num_units + num_labels))
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))
        self.register_buffer("unit_mean", torch.full((num_units,), 0.5))
        self.unit_mean: Tensor

    @property
    def logistic(self) -> bool:
        """Whether that holds for the whole visible side, and nobody has changed how it is drawn."""
        return False

    @property
    def unit_weights(self) -> Float[Tensor, "units hidden"]:
        """The rows of the weights that belong to u."""
        return self.weights[: self.num_units]

    @property
    def unit_bias(self) -> Float[Tensor, " units"]:
        """The visible bias of u."""
        return self.visible_bias[: self.num_units]

    @property
    def smallest_side(self) -> int:
        """Units of the side over whose states log Z can be summed."""
        return min(self.num_units, len(self.hidden_bias))

    @abstractmethod
    def sent(self, u: Tensor) -> Tensor:
        """What the weights multiply on the way up."""

    @abstractmethod
    def draw_units(self, field: Tensor) -> Tensor:
        """A draw from p(u | h), where ``field`` is b + W h."""

    @abstractmethod
    def mean_units(self, field: Tensor) -> Tensor:
        """E[u | h]."""

    @abstractmethod
    def log_each(self, u: Tensor, field: Tensor) -> Tensor:
        """log p(uᵢ | h) of each unit, in nats."""

    def log_units(
        self, u: Tensor, field: Tensor, observed: Tensor | None = None
    ) -> Float[Tensor, "*batch"]:
        """log p(u | h) in nats, over the last dimension; of the observed units alone, if given."""
        each = self.log_each(u, field)
        return each.sum(-1) if observed is None else each.mul(observed).sum(-1)

    @abstractmethod
    def energy_of_units(self, u: Tensor) -> Tensor:
        """The energy of u where h = 0, over the last dimension."""

    @property
    @abstractmethod
    def base_bias(self) -> Float[Tensor, " units"]:
        """The bias of u where annealing begins, with h apart from it."""

    @abstractmethod
    def log_base(self) -> Tensor:
        """Log of the sum over u where annealing begins, in float64."""

    @abstractmethod
    def log_partition_exact(self, hidden_bias: Tensor) -> Tensor:
        """Log Z over u and h, given these biases of h, by enumeration in float64."""

    def activation(self, v: Float[Tensor, "*batch visible"]) -> Float[Tensor, "*batch hidden"]:
        """The log odds of h given the visible side."""
        sent = self.multiplied(v)
        return F.linear(sent, self.weights.T, self.hidden_bias).to(self.weights.dtype)

    def multiplied(self, v: Tensor) -> Tensor:
        """What the weights multiply on the way up, a label included."""
        return v if self.num_labels else self.sent(v)

    def further_slopes(
        self, v: Tensor, hidden: Tensor, share: Tensor, offsets: Sequence[Tensor], slope: Tensor
    ) -> Sequence[tuple[nn.Parameter, Tensor]]:
        """Parameters beside weights and biases, and Σ share ∂F(v) of each.

        Args:
            v: the visible side.
            hidden: means of h given it.
            share: of each row; their sum is 0.
            offsets: μ of what the weights multiply, and λ of h.
            slope: −Σ share (sent − μ)(h − λ)ᵀ, which is known already.
        """
        return ()

    def field(self, h: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch visible"]:
        """b + W h: what h sends to the visible side."""
        return F.linear(h, self.weights, self.visible_bias).to(self.weights.dtype)

    def joined(self, u: Tensor, labels: Tensor | None) -> Float[Tensor, "batch visible"]:
        """The visible side: u, and its one-hot label where the layer has one."""
        if labels is None:
            return u
        return torch.cat([u, F.one_hot(labels, self.num_labels).to(u)], 1)

    def draw_visible(self, field: Tensor) -> Float[Tensor, "batch visible"]:
        """A draw of the visible side given b + W h; the label by its largest log odds + Gumbel."""
        units = self.draw_units(field[:, : self.num_units])
        if not self.num_labels:
            return units
        odds = field[:, self.num_units :]
        gumbel = -torch.empty_like(odds).exponential_().log_()
        return self.joined(units, (odds + gumbel).argmax(1))

    def energy_of_visible(self, v: Tensor) -> Float[Tensor, " batch"]:
        """What the visible side costs by itself."""
        energy = self.energy_of_units(v[..., : self.num_units])
        if self.num_labels:
            energy = energy - v[..., self.num_units :] @ self.visible_bias[self.num_units :]
        return energy

    def free_energy_at(self, v: Tensor, activation: Tensor) -> Float[Tensor, " batch"]:
        """F(v) where its activation is known already."""
        return self.energy_of_visible(v) - softplus(activation).sum(-1)

    def every_label(self) -> Tensor | None:
        """0, 1, … of the label unit, or None where there is none."""
        if not self.num_labels:
            return None
        return torch.arange(self.num_labels, device=self.weights.device)

    def biases_of(self, labels: Tensor | None) -> Float[Tensor, "rows hidden"]:
        """c + U_y, the biases of h that each label leaves; one row where there is no label."""
        if labels is None:
            return self.hidden_bias.unsqueeze(0)
        return self.hidden_bias + self.weights[self.num_units :][labels]

    def activation_of_units(
        self, u: Float[Tensor, "*batch units"]
    ) -> Float[Tensor, "*batch hidden"]:
        """c + uᵀW: the log odds of h, but for what a label adds."""
        return F.linear(self.sent(u), self.unit_weights.T, self.hidden_bias).to(self.weights.dtype)

    def with_every_label(
        self, activation: Float[Tensor, "batch hidden"]
    ) -> Float[Tensor, "batch label hidden"]:
        """The log odds of h under each label: c + uᵀW + U_y."""
        return activation.unsqueeze(1) + self.weights[self.num_units :]

    def log_odds_of_labels(
        self, activation: Float[Tensor, "batch label hidden"]
    ) -> Float[Tensor, "batch label"]:
        """log p(y | u) up to a constant: d_y + Σⱼ softplus(cⱼ + (uᵀW)ⱼ + U_yj)."""
        return self.visible_bias[self.num_units :] + softplus(activation).sum(2)


class BinaryLayer(Layer):
    """Binary u: E(u, y, h) = −b·u − d_y − c·h − uᵀW h − U_y·h."""

    binary = True

    @property
    def logistic(self) -> bool:
        """Without a label unit."""
        return type(self) is BinaryLayer and not self.num_labels

    @property
    def base_bias(self) -> Float[Tensor, " units"]:
        """The log odds of independent units with the mean of the data."""
        return log_odds(self.unit_mean)

    def log_base(self) -> Tensor:
        """Σ softplus of the base rate's log odds."""
        return softplus(self.base_bias.double()).sum()

    def sent(self, u: Tensor) -> Tensor:
        """u itself."""
        return u

    def draw_units(self, field: Tensor) -> Tensor:
        """Each unit by itself."""
        return bernoulli(field.sigmoid())

    def mean_units(self, field: Tensor) -> Tensor:
        """σ(b + W h)."""
        return field.sigmoid()

    def log_each(self, u: Tensor, field: Tensor) -> Tensor:
        """u · field − softplus(field)."""
        return log_bernoulli_each(field, u)

    def energy_of_units(self, u: Tensor) -> Tensor:
        """−b·u."""
        return -(u @ self.unit_bias).to(u.dtype)

    def log_partition_exact(self, hidden_bias: Tensor) -> Tensor:
        """Over the states of the smaller side."""
        if len(hidden_bias) < self.num_units:
            return log_sum_pairs(self.unit_weights.T, hidden_bias, self.unit_bias)
        return log_sum_pairs(self.unit_weights, self.unit_bias, hidden_bias)


class GaussianLayer(Layer):
    """Real u, in units of their deviations ũ = u/σ: E(u, h) = ½|ũ − b|² − c·h − ũᵀW h.

    Hence p(u | h) = N(σ (b + W h), σ²). σ is learnt with the rest. W begins with deviation
    √(2 / (units + hidden)) (Glorot & Bengio 2010): small weights lie next to a saddle, which data
    whose entries are not correlated, as clusters at the corners of a cube, leave too slowly.
    """

    def __init__(self, num_units: int, num_hidden: int) -> None:
        super().__init__(num_units, num_hidden)
        nn.init.normal_(self.weights, std=math.sqrt(2.0 / (num_units + num_hidden)))
        self.log_deviation = nn.Parameter(torch.zeros(num_units))

    @property
    def deviation(self) -> Float[Tensor, " units"]:
        """σ."""
        return self.log_deviation.exp()

    @property
    def smallest_side(self) -> int:
        """That of h."""
        return len(self.hidden_bias)

    @property
    def base_bias(self) -> Float[Tensor, " units"]:
        """b: without h, the units are N(σ b, σ²)."""
        return self.unit_bias

    def log_base(self) -> Tensor:
        """Σ log σ√2π."""
        return (self.log_deviation.double() + HALF_LOG_TAU).sum()

    def sent(self, u: Tensor) -> Tensor:
        """u/σ."""
        return u / self.deviation

    def further_slopes(
        self, v: Tensor, hidden: Tensor, share: Tensor, offsets: Sequence[Tensor], slope: Tensor
    ) -> Sequence[tuple[nn.Parameter, Tensor]]:
        """Of log σ: ∂F = ũ (b + W h − ũ), where ⟨ũᵢ (W h)ᵢ⟩ is as exact as the slope of W."""
        scaled, weights = self.sent(v), self.weights.detach()
        seen, caused = torch.mv(scaled.T, share), torch.mv(hidden.T, share)
        joint = seen * torch.mv(weights, offsets[1]) + offsets[0] * torch.mv(weights, caused)
        joint = joint - (weights * slope).sum(1)
        own = torch.mv((scaled * (self.unit_bias.detach() - scaled)).T, share)
        return ((self.log_deviation, own + joint),)

    def draw_units(self, field: Tensor) -> Tensor:
        """The mean and noise of deviation σ; carries no gradient."""
        return (self.deviation * (field + torch.randn_like(field))).detach()

    def mean_units(self, field: Tensor) -> Tensor:
        """σ (b + W h)."""
        return self.deviation * field

    def log_each(self, u: Tensor, field: Tensor) -> Tensor:
        """−½(ũ − field)² − log σ − ½ log 2π."""
        return -0.5 * (self.sent(u) - field).square() - (self.log_deviation + HALF_LOG_TAU)

    def energy_of_units(self, u: Tensor) -> Tensor:
        """½|ũ − b|²."""
        return 0.5 * (self.sent(u) - self.unit_bias).square().sum(-1)

    def log_partition_exact(self, hidden_bias: Tensor) -> Tensor:
        """Over the states of h, each with the Gaussian integral over u."""
        weights, bias = self.weights.detach().double(), self.unit_bias.detach().double()
        offset = hidden_bias.detach().double()

        def exponent(h: Tensor) -> Tensor:
            pull = h @ weights.T
            return h @ offset + (pull * (0.5 * pull + bias)).sum(1)

        return self.log_base().detach() + log_sum(exponent, len(offset), device=offset.device)
