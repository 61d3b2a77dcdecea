"""Masked autoencoder for distribution estimation (Germain et al. 2015)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genus import distributions
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.inference import particles
from genus.model import Conditional, Exact, Predicts
from genus.nn.entries import entries, num_entry_features
from genus.nn.features import features, num_features
from genus.nn.masked import MaskedNetwork, MaskedWalk
from genus.objectives.likelihood import NegativeLogLikelihood, RandomOrder
from genus.spaces import Space

__all__ = ["MADE"]

MOST_ROWS = 4096


class MADE(Exact, Predicts):
    """A fully connected network with masks, so that one pass gives every conditional.

        p(x) = (1/K) Σ_k Π_d p(x_d | the entries before d in order k)

    With several orders the model is the mixture of them: probabilities are averaged, and each
    draw takes an order of its own.

    Args:
        space: Binary, Categorical, Pixels or Real, of any shape.
        hidden: widths of the hidden layers.
        num_orders: K, orders of the entries; the first is the natural one.
        head: distribution of an entry, see :func:`genus.distributions.head`.
        num_mixtures: of a logistic head.
        condition: space of a condition that every layer sees, such as labels.
        direct: whether earlier entries also reach the outputs without a hidden layer.
        mask_seed: of the orders and masks.
        num_particles: for each datum (and order) where :meth:`complete` has observed entries
            behind missing ones.

    Example:
        >>> import torch, genus
        >>> model = genus.models.MADE(genus.Binary((6,)), hidden=(32,))
        >>> model.log_prob(torch.ones(4, 6)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        space: Space,
        hidden: tuple[int, ...] = (500, 500),
        *,
        num_orders: int = 1,
        head: distributions.HeadKind = "default",
        num_mixtures: int = 5,
        condition: Space | None = None,
        direct: bool = True,
        mask_seed: int = 0,
        num_particles: int = 64,
    ) -> None:
        super().__init__()
        _check_sizes(hidden, num_orders, num_particles)
        self.space, self.condition = space, condition
        self.num_orders, self.num_particles = num_orders, num_particles
        self.head = distributions.head(space, head, num_mixtures=num_mixtures)
        self.network = MaskedNetwork(
            space.num_dimensions,
            num_entry_features(space),
            self.head.num_parameters,
            hidden,
            num_orders=num_orders,
            num_given=num_features(condition),
            direct=direct,
            mask_seed=mask_seed,
        )

    def algorithm(self) -> Algorithm:
        """Maximum likelihood by Adam; with several orders, one drawn for every step."""
        return Descend(
            NegativeLogLikelihood() if self.num_orders == 1 else RandomOrder(),
            Optimiser(learning_rate=3e-3, schedule="one-cycle"),
            batch_size=128,
            budget=Budget(epochs=20),
        )

    def predict(self, x: Tensor, order: Int[Tensor, " 1"], condition: Tensor | None) -> Tensor:
        """Parameters of every entry under an order, shape ``(batch, parameter, entry)``."""
        seen = self._features(x.flatten(1))
        parameters: Tensor = self.network(seen, order, self._given(condition))
        return parameters

    def log_prob_in_order(
        self, x: Tensor, order: Int[Tensor, " 1"], condition: Tensor | None
    ) -> Float[Tensor, " batch"]:
        """log p(x) in nats under one of the orders alone."""
        parameters = self.predict(x, order, condition)
        return self.head.log_prob(parameters, x.flatten(1)).sum(1)

    def walk(self, n: int, condition: Tensor | None = None, order: int = 0) -> MaskedWalk:
        """A pass over the entries of ``n`` data, one after the other in one of the orders."""
        return MaskedWalk(self.network, order, n, self._given(condition))

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        orders = torch.arange(self.num_orders, device=x.device).split(1)
        parts = [self.log_prob_in_order(x, order, condition) for order in orders]
        return torch.stack(parts).logsumexp(0) - math.log(self.num_orders)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        orders = torch.randint(self.num_orders, (n,))
        x = torch.empty(n, self.space.num_dimensions).to(self.example)
        x = x if self.space.dtype is None else x.to(self.space.dtype)
        for order in orders.unique().tolist():
            rows = (orders == order).nonzero().squeeze(1).to(x.device)
            walk = self.walk(len(rows), None if condition is None else condition[rows], order)
            drawn = particles.draw(walk, self.head, self._features)
            x[rows[:, None], torch.tensor(walk.entries, device=x.device)] = drawn.to(x.dtype)
        return x.reshape(n, *self.space.shape)

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        parts = self._completions(x, observed, condition, self.num_particles)
        return torch.cat([drawn for drawn, _ in parts]).reshape(x.shape)

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log p(x) − log p̂(observed): exact where every order has what is observed first.

        Else E[p̂] = p(observed), so that the difference is at least log p(missing | observed)
        on average, by Jensen's inequality.
        """
        parts = self._completions(x, observed, condition, effort or self.num_particles)
        evidence = torch.cat([log_evidence for _, log_evidence in parts])
        mask = observed.flatten(1)
        orders = self.network.positions.argsort(dim=1)
        exact = all(particles.observed_first(mask[:, order]) for order in orders)
        return Conditional(self._log_prob(x, condition) - evidence, "=" if exact else "<=")

    def _completions(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, num_particles: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Flat completions and log evidence, a few data at a time."""
        size = max(1, MOST_ROWS // num_particles)
        return [
            self._complete_rows(
                x[rows].flatten(1),
                observed[rows].flatten(1),
                None if condition is None else condition[rows],
                num_particles,
            )
            for rows in torch.arange(len(x), device=x.device).split(size)
        ]

    def _complete_rows(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, num_particles: int
    ) -> tuple[Tensor, Tensor]:
        """p(missing | observed) = Σ_k p(k | observed) p_k(missing | observed).

        The evidence is the mean of that of all orders.
        """
        answers, evidence = [], []
        for order in range(self.num_orders):
            walk = self.walk(len(x), condition, order)
            back = torch.tensor(walk.entries, device=x.device)
            done = particles.complete(
                walk,
                self.head,
                self._features,
                x[:, back],
                observed[:, back],
                num_particles,
            )
            answers.append(done.x[:, back.argsort()])
            evidence.append(done.log_evidence)
        by_order = torch.stack(evidence, dim=1)
        chosen = torch.multinomial(by_order.softmax(1), 1).squeeze(1)
        drawn = torch.stack(answers, dim=1)[torch.arange(len(x), device=x.device), chosen]
        return drawn, by_order.logsumexp(1) - math.log(self.num_orders)

    def _features(self, x: Tensor) -> Tensor:
        return entries(self.space, x, self.example)

    def _given(self, condition: Tensor | None) -> Tensor | None:
        if condition is None or self.condition is None:
            return None
        return features(self.condition, condition, self.example)


def _check_sizes(hidden: tuple[int, ...], num_orders: int, num_particles: int) -> None:
    if not hidden or any(width < 1 for width in hidden):
        raise ValueError(f"hidden must hold at least one width, each positive, got {hidden}")
    if num_orders < 1:
        raise ValueError(f"num_orders must be at least 1, got {num_orders}")
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}")
