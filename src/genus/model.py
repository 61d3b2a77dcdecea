"""The taxonomy on one screen: what a generative model can answer is its type.

    Model                       sample
    ├─ Density                  log_prob, in nats: exactly one of
    │  ├─ Exact                 log p(x) itself
    │  ├─ LowerBound            at most log p(x); closes as effort grows
    │  │  ├─ WeightedBound      log of a mean of weights, one for each sample
    │  │  └─ AnnealedBound      a bound less a log Z that may be annealed
    │  │     └─ LayeredBound    and what it was after each layer
    │  └─ Estimate              consistent, with a standard error
    │     └─ Bracketed          and from both sides
    ├─ Energy                   p(x) up to its constant; Gibbs steps
    ├─ Latent                   prior, decode
    │  └─ Encodes               encode, reconstruct
    ├─ Completes                fills in what is not observed
    │  └─ Predicts              and says how probable it was
    ├─ Classifies               tells which label a datum has
    └─ Continues                goes on from a prefix

A model with none of Density's kinds, such as a GAN, has no ``log_prob`` at all. Public
methods are final: they check, seed and choose devices once, and call the private method of
the same name, which is where the mathematics lives.
"""

import contextlib
import inspect
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from genus.engine import checkpoint
from genus.engine.algorithm import Algorithm
from genus.engine.batches import Source, Tensors
from genus.engine.budget import Budget
from genus.engine.counts import check_count
from genus.engine.loop import Callback, Precision, run
from genus.engine.seeding import address, seeded
from genus.spaces import Space
from genus.version import __version__

__all__ = [
    "AnnealedBound",
    "BoundBracket",
    "Bracket",
    "Bracketed",
    "Classifies",
    "Completes",
    "Conditional",
    "Constant",
    "Continues",
    "Density",
    "Encodes",
    "Energy",
    "Estimate",
    "Estimated",
    "Exact",
    "Latent",
    "LayeredBound",
    "LowerBound",
    "Model",
    "Predicts",
    "WeightedBound",
]


class _RemembersArguments(ABCMeta):
    """Keeps a model's constructor arguments as ``config``, so that it can be built again."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().__call__(*args, **kwargs)
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        bound = signature.bind(model, *args, **kwargs)
        bound.apply_defaults()
        model.config = dict(list(bound.arguments.items())[1:])
        return model


class Model(nn.Module, ABC, metaclass=_RemembersArguments):
    """A distribution over a space.

    Attributes:
        space: what a datum is.
        condition: what a datum is conditioned on, or None.
        config: the constructor arguments.
    """

    space: Space
    condition: Space | None = None
    config: dict[str, Any]

    @abstractmethod
    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        """n draws from the model, shape ``(n, *space.shape)``."""

    @abstractmethod
    def algorithm(self) -> Algorithm:
        """A new instance of the model's default way to learn."""

    @property
    def example(self) -> Tensor:
        """A parameter that tells device and dtype."""
        return next(p for p in self.parameters() if p.is_floating_point())

    @final
    @torch.no_grad()
    def sample(self, n: int, *, condition: Any = None, seed: int | None = None) -> Tensor:
        """n draws, shape ``(n, *space.shape)``.

        Args:
            n: how many.
            condition: for a conditional model: one value, or one for each draw.
            seed: makes the draws repeatable and leaves the global generator alone.

        Raises:
            ValueError: where n is no positive integer, or the condition is missing or wrong.
        """
        n = check_count("n", n)
        given = self._check_condition(condition, n)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._sample(n, given)

    @final
    def fit(
        self,
        data: Any,
        *,
        condition: Any = None,
        algorithm: Algorithm | None = None,
        budget: Budget | None = None,
        epochs: float | None = None,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        device: str | torch.device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> Self:
        """Learns from data and returns itself.

        Args:
            data: a tensor or array of data of the model's space, shape ``(n, *shape)``, or a
                :class:`~genus.engine.batches.Source` such as the ``train`` part of a data set.
            condition: for arrays: what each datum is conditioned on.
            algorithm: how to learn; the model's own way by default.
            budget: how long; the algorithm's own by default.
            epochs: short for ``Budget(epochs=epochs)``.
            seed: of order and draws.
            callbacks: watchers.
            device: "auto" takes a GPU where there is one.
            precision: "float32" or "bf16".
            compiled: compile each step, for the contrasts of RBMs and of their deep networks;
                needs a C++ compiler.

        Raises:
            ValueError: where the data do not lie in the model's space, or the steps cannot be
                compiled.
        """
        if epochs is not None and budget is not None:
            raise ValueError("give budget or epochs, not both")
        if budget is not None and not isinstance(budget, Budget):
            raise ValueError(f"budget must be such as genus.Budget(seconds=60), got {budget!r}")
        if epochs is not None:
            budget = Budget(epochs=epochs)
        source = self._source(data, condition)
        if source.space != self.space:
            raise ValueError(f"the data lie in {source.space}, the model is over {self.space}")
        if self.condition is not None and source.condition != self.condition:
            raise ValueError(
                f"the model is conditioned on {self.condition} but the data carry "
                f"{source.condition or 'no labels'}; give condition=..."
            )
        if algorithm is None:
            with seeded(address(seed, "algorithm"), self.example.device):
                algorithm = self.algorithm()
        run(
            self,
            source,
            algorithm,
            budget=budget,
            seed=seed,
            callbacks=callbacks,
            device=device,
            precision=precision,
            compiled=compiled,
        )
        return self

    def _source(self, data: Any, condition: Any) -> Source:
        if condition is not None and (self.condition is None or isinstance(data, Source)):
            raise ValueError(
                "condition=... goes with arrays and a conditional model; "
                f"{type(self).__name__} here is "
                + ("not conditional" if self.condition is None else "given a data source")
            )
        if isinstance(data, Source):
            return data
        x = self.space.check(data, "data", like=self.example)
        if self.condition is None or condition is None:
            return Tensors(x, self.space)
        labels = self.condition.check(condition, "condition", like=self.example)
        return Tensors(x, self.space, condition=labels, condition_space=self.condition)

    def _check_condition(self, condition: Any, n: int) -> Tensor | None:
        """The condition as a batch of n; one value is repeated."""
        if self.condition is None:
            if condition is not None:
                raise ValueError(f"{type(self).__name__} is not conditional; drop condition")
            return None
        if condition is None:
            raise ValueError(f"this model is conditioned on {self.condition}; give condition=...")
        given = torch.as_tensor(condition)
        if tuple(given.shape) == self.condition.shape:
            given = given.expand(n, *given.shape)
        if given.ndim and len(given) != n:
            raise ValueError(f"{n} data but {len(given)} conditions; one each, or one for all")
        return self.condition.check(given, "condition", like=self.example)

    @final
    def save(self, folder: str | Path, **notes: Any) -> Path:
        """Writes ``config.json`` and ``model.safetensors`` to a folder, each atomically.

        Args:
            folder: made where it is missing.
            notes: plain data to keep beside the model, such as the recipe.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        described = {"class": type(self).__name__, "config": _plain(self.config)}
        checkpoint.write_json(path / "config.json", {**described, "version": __version__, **notes})
        checkpoint.write_tensors(path / "model.safetensors", dict(self.state_dict()), described)
        return path


class Density(Model):
    """A model that can say how probable a datum is."""

    @abstractmethod
    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        """log p(x), its bound or its estimate, in nats."""

    @final
    def log_prob(self, x: Any, *, condition: Any = None) -> Float[Tensor, " batch"]:
        """log p(x) in nats, exact, a lower bound or an estimate as the type says.

        Args:
            x: data of the space, shape ``(batch, *space.shape)``.
            condition: for a conditional model: one value, or one for each datum.

        Raises:
            ValueError: where x is not in the space, or the condition is missing or wrong.
        """
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        with _evaluating(self):
            return self._log_prob(batch, given)


class Exact(Density):
    """``log_prob`` is log p(x) itself."""


class LowerBound(Density):
    """``log_prob`` is at most log p(x) on average, at the model's default effort.

    Whatever the effort, the memory of an answer grows with the batch alone.

    Attributes:
        effort: samples spent on ``log_prob``.
    """

    effort: int = 1

    @abstractmethod
    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        """A draw of the bound; its mean closes on log p(x) as effort grows."""

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        return self._lower_bound(x, condition, self.effort)

    @final
    def lower_bound(
        self, x: Any, *, effort: int | None = None, condition: Any = None, seed: int | None = None
    ) -> Float[Tensor, " batch"]:
        """A lower bound of log p(x) in nats that closes as ``effort`` (samples) grows."""
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        effort = self.effort if effort is None else check_count("effort", effort)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._lower_bound(batch, given, effort)


class WeightedBound(LowerBound):
    """The bound is log (1/K) Σₖ wₖ with E[wₖ] = p(x), K being the effort (Burda et al. 2016)."""

    @abstractmethod
    def _log_weights(
        self, x: Tensor, condition: Tensor | None, num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Log wₖ of independent samples."""

    @final
    def log_weights(
        self, x: Any, num_samples: int, *, condition: Any = None, seed: int | None = None
    ) -> Float[Tensor, "batch samples"]:
        """Log wₖ of ``num_samples`` independent samples for each datum, all at once in memory."""
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        num_samples = check_count("num_samples", num_samples)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._log_weights(batch, given, num_samples)


class Estimated(NamedTuple):
    """A consistent estimate and its standard error."""

    value: Tensor
    standard_error: Tensor


class Estimate(Density):
    """``log_prob`` is a consistent estimate of log p(x), with a standard error.

    Attributes:
        effort: chains, particles or samples spent on ``log_prob``.
    """

    effort: int = 100

    @abstractmethod
    def _estimate(self, x: Tensor, condition: Tensor | None, effort: int) -> Estimated:
        """The estimate for each datum, in nats."""

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        return self._estimate(x, condition, self.effort).value

    @final
    def estimate(
        self, x: Any, *, effort: int | None = None, condition: Any = None, seed: int | None = None
    ) -> Estimated:
        """log p(x) in nats with its standard error, each of shape ``(batch,)``."""
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        effort = self.effort if effort is None else check_count("effort", effort)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._estimate(batch, given, effort)


class Constant(NamedTuple):
    """log Z from both sides, in nats, each of shape ``(batch,)``; exact where all errors are 0.

    Attributes:
        value: what ``log_prob`` subtracts; annealed, it errs downwards on average.
        reverse: a consistent estimate that errs upwards.
        lower: E[lower] ≤ log Z.
        upper: E[upper] ≥ log Z, as far as the draws that reverse annealing begins with are exact.
    """

    value: Estimated
    reverse: Estimated
    lower: Estimated
    upper: Estimated


class BoundBracket(NamedTuple):
    """A lower bound of log p(x) with log Z from both sides, in nats, each of shape ``(batch,)``.

    Attributes:
        value: with log Z as ``log_prob`` has it.
        reverse: with the estimate of log Z that errs to the other side.
        lower: with an upper bound of log Z: E[lower] ≤ log p(x).
        upper: with a lower bound of log Z; bounds the bound and not log p(x).
    """

    value: Estimated
    reverse: Estimated
    lower: Estimated
    upper: Estimated


class AnnealedBound(LowerBound):
    """A lower bound of log p(x) + log Z, less log Z.

    Where log Z is summed exactly, ``log_prob`` is a lower bound. Where it is annealed, it is a
    bound less an estimate, which on average is too small, so that the figure may lie above
    log p(x) and is an estimate itself: ``bound_bracket`` has both sides, and the standard errors
    of log Z.
    """

    @property
    @abstractmethod
    def sums_exactly(self) -> bool:
        """Whether log Z is a sum over all states, so that ``log_prob`` is a bound."""

    @abstractmethod
    def _constant(self, condition: Tensor | None, n: int) -> Constant:
        """Log Z for each of n data."""

    @final
    @torch.no_grad()
    def bound_bracket(
        self, x: Any, *, effort: int | None = None, condition: Any = None, seed: int | None = None
    ) -> BoundBracket:
        """``lower_bound`` of the same seed and effort with log Z from both sides.

        The standard errors are those of log Z alone.
        """
        bound = self.lower_bound(x, effort=effort, condition=condition, seed=seed)
        constant = self._constant(self._check_condition(condition, len(bound)), len(bound))
        whole = bound.double() + constant.value.value

        def less(side: Estimated) -> Estimated:
            value = (whole - side.value).to(bound.dtype)
            return Estimated(value, side.standard_error.to(bound.dtype))

        return BoundBracket(
            Estimated(bound, constant.value.standard_error.to(bound.dtype)),
            less(constant.reverse),
            less(constant.upper),
            less(constant.lower),
        )


class LayeredBound(AnnealedBound):
    """A bound of layers that stand on one another, each of which may be the last."""

    @abstractmethod
    def _layer_bounds(self, x: Tensor, condition: Tensor | None, effort: int) -> list[Estimated]:
        """For 1, 2, … layers: the bound of each datum, and the standard error of its log Z."""

    @final
    @torch.no_grad()
    def layer_bounds(
        self, x: Any, *, effort: int | None = None, condition: Any = None, seed: int | None = None
    ) -> Estimated:
        """The bounds of the models that end after 1, 2, … layers, in nats.

        Both parts are of shape ``(batch, layer)``. The standard errors are those of log Z; an
        error of 0 says that log Z was summed.

        Args:
            x: data of the space.
            effort: samples for each datum; the model's own by default.
            condition: for a conditional model; it joins the last layer, and the bounds of the
                others are those of log p(x).
            seed: makes the draws repeatable.
        """
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        effort = self.effort if effort is None else check_count("effort", effort)
        with seeded(seed, self.example.device), _evaluating(self):
            found = self._layer_bounds(batch, given, effort)
        values, errors = zip(*found, strict=True)
        return Estimated(torch.stack(values, 1), torch.stack(errors, 1))


class Bracket(NamedTuple):
    """log p(x) from both sides, in nats.

    Attributes:
        lower: E[lower] ≤ log p(x).
        upper: E[upper] ≥ log p(x).
        reverse: a consistent estimate like that of ``estimate``, which errs to the other side.
    """

    lower: Estimated
    upper: Estimated
    reverse: Estimated


class Bracketed(Estimate):
    """An estimate that can be had from both sides, as where log Z is annealed both ways.

    ``estimate`` errs upwards on average, without limit where its chains miss a mode.
    """

    @abstractmethod
    def _bracket(self, x: Tensor, condition: Tensor | None, effort: int) -> Bracket:
        """The bracket for each datum."""

    @final
    def bracket(
        self, x: Any, *, effort: int | None = None, condition: Any = None, seed: int | None = None
    ) -> Bracket:
        """log p(x) in nats from below and from above, each of shape ``(batch,)``.

        The same seed and effort draw what ``estimate`` draws, and what that needs to reverse.
        """
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        effort = self.effort if effort is None else check_count("effort", effort)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._bracket(batch, given, effort)


class Energy(Model):
    """A model whose density is known up to its constant: p(x) = exp(−F(x)) / Z."""

    @abstractmethod
    def _free_energy(self, x: Tensor) -> Float[Tensor, " batch"]:
        """F(x) in nats."""

    @abstractmethod
    def _gibbs(self, x: Tensor) -> Tensor:
        """One step of a Markov chain that leaves p(x) unchanged."""

    @final
    def free_energy(self, x: Any) -> Float[Tensor, " batch"]:
        """F(x) = −log p(x) − log Z, in nats."""
        return self._free_energy(self.space.check(x, like=self.example))

    @final
    @torch.no_grad()
    def gibbs(self, x: Any, *, steps: int = 1, seed: int | None = None) -> Tensor:
        """x after ``steps`` steps of a chain that leaves p(x) unchanged."""
        steps = check_count("steps", steps)
        state = self.space.check(x, like=self.example)
        with seeded(seed, self.example.device):
            for _ in range(steps):
                state = self._gibbs(state)
        return state


class Latent(Model):
    """A model that explains data by hidden causes z."""

    @abstractmethod
    def _prior(self, n: int) -> Tensor:
        """n draws of z."""

    @abstractmethod
    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """The mean (or the only) datum that z explains, as reals of the space's shape."""

    @final
    @torch.no_grad()
    def prior(self, n: int, *, seed: int | None = None) -> Tensor:
        """n draws of the hidden causes."""
        n = check_count("n", n)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._prior(n)

    @final
    def decode(self, z: Any, *, condition: Any = None) -> Tensor:
        """The mean datum that each z explains, shape ``(batch, *space.shape)``.

        In the units of the space: a probability for binary data, a level for pixels.
        """
        given = torch.as_tensor(z).to(self.example)
        with _evaluating(self):
            return self._decode(given, self._check_condition(condition, len(given)))


class Encodes(Latent):
    """A model that infers hidden causes from data."""

    @abstractmethod
    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """The posterior mean of z (exact or recognised)."""

    @final
    def encode(self, x: Any, *, condition: Any = None) -> Tensor:
        """The (approximate) posterior mean of z for each datum."""
        batch = self.space.check(x, like=self.example)
        with _evaluating(self):
            return self._encode(batch, self._check_condition(condition, len(batch)))

    @final
    def reconstruct(self, x: Any, *, condition: Any = None) -> Tensor:
        """The data as seen through their codes: ``decode(encode(x))``."""
        batch = self.space.check(x, like=self.example)
        given = self._check_condition(condition, len(batch))
        with _evaluating(self):
            return self._decode(self._encode(batch, given), given)


class Classifies(Model):
    """A conditional model that says which label is how probable given a datum."""

    @abstractmethod
    def _classify(self, x: Tensor) -> Float[Tensor, "batch label"]:
        """p(label | x)."""

    @final
    @torch.no_grad()
    def classify(self, x: Any) -> Float[Tensor, "batch label"]:
        """The probability of each label, shape ``(batch, num_categories)``.

        Raises:
            ValueError: where x is not in the space, or this model has no labels.
        """
        batch = self.space.check(x, like=self.example)
        if self.condition is None:
            raise ValueError(
                f"this {type(self).__name__} has no labels to tell apart; build it with "
                "condition=Categorical((), num_categories)"
            )
        with _evaluating(self):
            return self._classify(batch)


class Completes(Model):
    """A model that draws what is missing given what is observed, for any mask."""

    @abstractmethod
    def _complete(
        self, x: Tensor, observed: Bool[Tensor, "batch *shape"], condition: Tensor | None
    ) -> Tensor:
        """x with draws from p(missing | observed) where ``observed`` is false."""

    @final
    @torch.no_grad()
    def complete(
        self, x: Any, observed: Any, *, condition: Any = None, seed: int | None = None
    ) -> Tensor:
        """Draws of the missing entries given the observed ones.

        Args:
            x: data of the space; entries that are not observed may hold any point of it.
            observed: booleans, of x's shape or broadcastable to it; true where x is known.
            condition: for a conditional model.
            seed: makes the draws repeatable.

        Raises:
            ValueError: where x is not in the space or the mask does not fit.
        """
        batch = self.space.check(x, like=self.example)
        mask = _fitting(observed, batch)
        given = self._check_condition(condition, len(batch))
        with seeded(seed, self.example.device), _evaluating(self):
            return torch.where(mask, batch, self._complete(batch, mask, given).to(batch.dtype))


class Conditional(NamedTuple):
    """log p(missing | observed) for each datum.

    Attributes:
        value: in nats.
        sign: "=" it is the log probability itself; ">=" that is at least this on average over
            the draws behind it, "<=" at most; "~" neither, but it tends to it with effort.
    """

    value: Tensor
    sign: Literal["=", ">=", "<=", "~"]


class Predicts(Completes):
    """A model that can say how probable the missing entries are given the observed ones."""

    @abstractmethod
    def _conditional_log_prob(
        self,
        x: Tensor,
        observed: Bool[Tensor, "batch *shape"],
        condition: Tensor | None,
        effort: int | None,
    ) -> Conditional:
        """log p(missing | observed), x being known throughout."""

    @final
    @torch.no_grad()
    def conditional_log_prob(
        self,
        x: Any,
        observed: Any,
        *,
        effort: int | None = None,
        condition: Any = None,
        seed: int | None = None,
    ) -> Conditional:
        """log p(missing | observed) of whole data, in nats, with what its sign means.

        Args:
            x: data of the space; the entries that are not observed are those that are judged.
            observed: booleans, of x's shape or broadcastable to it; true where x is given.
            effort: particles, chains or samples for each datum; the model's own by default.
            condition: for a conditional model.
            seed: makes the draws repeatable.

        Raises:
            ValueError: where x is not in the space or the mask does not fit.
        """
        batch = self.space.check(x, like=self.example)
        mask = _fitting(observed, batch)
        given = self._check_condition(condition, len(batch))
        effort = None if effort is None else check_count("effort", effort)
        with seeded(seed, self.example.device), _evaluating(self):
            return self._conditional_log_prob(batch, mask, given, effort)


class Continues(Model):
    """A model that goes on from a prefix."""

    @abstractmethod
    def _continue(self, prefix: Tensor, length: int, condition: Tensor | None) -> Tensor:
        """The prefix and ``length`` further elements."""

    @final
    @torch.no_grad()
    def continue_(
        self, prefix: Any, length: int, *, condition: Any = None, seed: int | None = None
    ) -> Tensor:
        """The prefix, shape ``(batch, given, ...)``, followed by ``length`` drawn elements."""
        length = check_count("length", length)
        start = torch.as_tensor(prefix, device=self.example.device)
        given = self._check_condition(condition, len(start))
        with seeded(seed, self.example.device), _evaluating(self):
            return self._continue(start, length, given)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, the former mode afterwards."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


def _fitting(observed: Any, batch: Tensor) -> Bool[Tensor, "batch *shape"]:
    """A mask for every datum of a batch."""
    mask = torch.as_tensor(observed, device=batch.device)
    if mask.dtype != torch.bool:
        raise ValueError(f"observed must be boolean, got {mask.dtype}")
    try:
        return mask.broadcast_to(batch.shape)
    except RuntimeError as error:
        raise ValueError(
            f"observed must fit {tuple(batch.shape)}, got {tuple(mask.shape)}"
        ) from error


def _plain(value: Any) -> Any:
    """Constructor arguments as JSON: spaces become their descriptions, tuples lists."""
    if isinstance(value, Space):
        return value.to_config()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
