"""A feed-forward classifier that a deep belief network or Boltzmann machine can begin."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genus import spaces
from genus.engine import Algorithm, Budget, Callback, Descend, Optimiser, Tensors, checkpoint, run
from genus.engine.counts import check_count
from genus.engine.loop import Precision, resolve_device
from genus.models.boltzmann.companion import Companion
from genus.models.boltzmann.layered import Layered
from genus.models.boltzmann.sizes import check_sizes
from genus.objectives.cross_entropy import CrossEntropy
from genus.spaces import Binary, Categorical, Real, Space
from genus.version import __version__

__all__ = ["SigmoidClassifier"]

ROWS = 1000
SIGMOID_GAIN = 4.0


class SigmoidClassifier(nn.Module):
    """Layers of sigmoid units and a softmax: p(label | x), and nothing about x itself.

    Its weights are random, of the size that suits sigmoid layers (Glorot & Bengio 2010);
    :meth:`genus.models.DeepBeliefNetwork.to_classifier` makes one whose layers are those of a
    network that was trained without labels (Hinton & Salakhutdinov 2006).
    :meth:`genus.models.DeepBoltzmannMachine.to_classifier` makes one with a second input: the
    means mₗ that a frozen machine finds for the layers above the first, each sent down to the
    layer below it (Salakhutdinov & Hinton 2009, section 3.3),

        hₗ = σ(bₗ + Wₗᵀ hₗ₋₁ + Vₗ₊₁ mₗ₊₁)        h₀ = x, and no m above the top layer.

    :meth:`fit` finds these means once for all data.

    Args:
        space: of the data, Binary or Real.
        num_classes: how many labels.
        hidden: units of each layer.
        dropout: share of hidden units that is left out at random while it learns.
        input_dropout: the same of the data, and of the means beside them.
        num_mean_field: most sweeps of mean field behind the second input; None for a network
            without one.

    Raises:
        ValueError: where an argument is out of its range.

    Example:
        >>> import torch, genus
        >>> from genus.models.boltzmann import SigmoidClassifier
        >>> x = (torch.rand(200, 6) < 0.5).float()
        >>> classifier = SigmoidClassifier(genus.Binary((6,)), 2, hidden=(8,))
        >>> classifier.fit(x, x[:, 0].long(), epochs=2).predict(x).shape
        torch.Size([200])
    """

    def __init__(
        self,
        space: Binary | Real,
        num_classes: int,
        hidden: tuple[int, ...] = (500, 500, 2000),
        *,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        num_mean_field: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(space, Binary | Real):
            raise ValueError(f"space must be Binary or Real, got {space}")
        if check_count("num_classes", num_classes) < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        hidden = check_sizes(hidden)
        for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {share}")
        self.space, self.num_classes = space, num_classes
        self.config = {
            "space": space.to_config(),
            "num_classes": num_classes,
            "hidden": list(hidden),
            "dropout": dropout,
            "input_dropout": input_dropout,
            "num_mean_field": num_mean_field,
        }
        sizes = (space.num_dimensions, *hidden)
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, gain=SIGMOID_GAIN)
            nn.init.zeros_(layer.bias)
        self.label = nn.Linear(hidden[-1], num_classes)
        self.widths = [space.num_dimensions]
        self.companion: Companion | None = None
        self.downs = nn.ModuleList()
        if num_mean_field is not None:
            self.companion = Companion(sizes, num_mean_field)
            self.widths += hidden[1:]
            downs = [nn.Linear(above, here, bias=False) for here, above in pairwise(hidden)]
            for down in downs:
                nn.init.xavier_uniform_(down.weight, gain=SIGMOID_GAIN)
            self.downs.extend(downs)
        self.dropout, self.input_dropout = nn.Dropout(dropout), nn.Dropout(input_dropout)

    @torch.no_grad()
    def begin(self, machine: Layered) -> None:
        """Takes over a deep Boltzmann machine, and keeps a frozen copy beside.

        Args:
            machine: of the sizes of this network.

        Raises:
            ValueError: where this network has no second input.
        """
        if self.companion is None:
            raise ValueError("num_mean_field must be given for a network that a machine begins")
        self.companion.copy(machine)
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(machine.weights[number].T)
            layer.bias.copy_(machine.biases[number + 1])
        for down, weights in zip(self.downs, machine.weights[1:], strict=True):
            assert isinstance(down, nn.Linear)
            down.weight.copy_(weights)

    @torch.no_grad()
    def inputs(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch input"]:
        """The data, flat, and beside them the means that the frozen machine finds."""
        flat = x.flatten(1)
        if self.companion is None:
            return flat
        return torch.cat([torch.cat([r, self.companion(r)], 1) for r in flat.split(ROWS)])

    def log_odds(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch label"]:
        """The log odds of the labels of data."""
        found: Tensor = self(self.inputs(x))
        return found

    def forward(self, inputs: Float[Tensor, "batch *input"]) -> Float[Tensor, "batch label"]:
        """The log odds of the labels of what :meth:`inputs` makes of data.

        Raises:
            ValueError: where the inputs have another size, as data have before a second input
                is set beside them.
        """
        given = inputs.flatten(1)
        if given.shape[1] != sum(self.widths):
            raise ValueError(
                f"inputs must have {sum(self.widths)} numbers each, as inputs(x) has, "
                f"got {given.shape[1]}; for data take log_odds(x)"
            )
        units, *means = self.input_dropout(given).split(self.widths, 1)
        for number, layer in enumerate(self.layers):
            odds = layer(units)
            if number < len(means):
                odds = odds + self.downs[number](means[number])
            units = self.dropout(odds.sigmoid())
        found: Tensor = self.label(units)
        return found

    def algorithm(self) -> Algorithm:
        """Adam on the cross-entropy, its rate rising and then falling."""
        optimiser = Optimiser(learning_rate=1e-3, schedule="one-cycle")
        return Descend(CrossEntropy(), optimiser, batch_size=100, budget=Budget(epochs=30))

    def fit(
        self,
        x: Any,
        labels: Any,
        *,
        algorithm: Algorithm | None = None,
        budget: Budget | None = None,
        epochs: float | None = None,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        device: str | torch.device = "auto",
        precision: Precision = "float32",
    ) -> Self:
        """Learns all layers from labelled data and returns itself.

        Args:
            x: data of the space, shape ``(n, *space.shape)``.
            labels: whole numbers from 0, shape ``(n,)``.
            algorithm: how to learn; :meth:`algorithm` by default.
            budget: how long; the algorithm's own by default.
            epochs: short for ``Budget(epochs=epochs)``.
            seed: of order and draws.
            callbacks: watchers.
            device: "auto" takes a GPU where there is one.
            precision: of matrix products: "float32", "bf16", or "auto" for the latter where the
                hardware is made for it.

        Raises:
            ValueError: where data, labels, device or precision do not fit.
        """
        if epochs is not None:
            if budget is not None:
                raise ValueError("give budget or epochs, not both")
            budget = Budget(epochs=epochs)
        data = self.space.check(x, "x", like=self.label.weight)
        classes = Categorical((), self.num_classes)
        given = self._checked_labels(labels, len(data))
        space: Space = self.space
        if self.companion is not None:
            place = resolve_device(device)
            data = self.to(place).inputs(data.to(place))
            space, given = Real((data.shape[1],)), given.to(place)
        source = Tensors(data, space, condition=given, condition_space=classes)
        run(
            self,
            source,
            algorithm or self.algorithm(),
            budget=budget,
            seed=seed,
            callbacks=callbacks,
            device=device,
            precision=precision,
        )
        return self

    def _checked_labels(self, labels: Any, n: int) -> Int[Tensor, " batch"]:
        classes = Categorical((), self.num_classes)
        given = classes.check(labels, "labels", like=self.label.weight)
        if len(given) != n:
            raise ValueError(f"{n} data but {len(given)} labels; one each")
        return given

    @torch.no_grad()
    def predict_proba(self, x: Any) -> Float[Tensor, "batch label"]:
        """p(label | x) for each datum."""
        data = self.space.check(x, "x", like=self.label.weight)
        training = self.training
        self.eval()
        found = torch.cat([self.log_odds(rows).softmax(1) for rows in data.split(ROWS)])
        self.train(training)
        return found

    def predict(self, x: Any) -> Int[Tensor, " batch"]:
        """The most probable label of each datum."""
        return self.predict_proba(x).argmax(1)

    def error_rate(self, x: Any, labels: Any) -> float:
        """The share of data whose label is not the most probable one."""
        answers = self.predict(x)
        wrong = answers != self._checked_labels(labels, len(answers))
        return float(wrong.double().mean())

    def save(self, folder: str | Path) -> Path:
        """Writes ``config.json`` and ``model.safetensors`` to a folder, which is made."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        described = {"class": type(self).__name__, "config": self.config}
        checkpoint.write_json(path / "config.json", {**described, "version": __version__})
        checkpoint.write_tensors(path / "model.safetensors", dict(self.state_dict()), described)
        return path

    @classmethod
    def load(cls, folder: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """The classifier that :meth:`save` wrote.

        Raises:
            ValueError: where the folder holds none, or its files do not belong together.
        """
        path = Path(folder)
        if not (path / "config.json").exists():
            raise ValueError(f"there is no classifier at {path} (no config.json)")
        described = checkpoint.read_json(path / "config.json")
        if described.get("class") != cls.__name__:
            raise ValueError(f"{path} holds a {described.get('class')}, not a {cls.__name__}")
        tensors, written = checkpoint.read_tensors(path / "model.safetensors")
        if written.get("config") != described["config"]:
            raise ValueError(f"config.json and model.safetensors in {path} do not belong together")
        config = dict(described["config"])
        space = spaces.from_config(config.pop("space"))
        try:
            model = cls(space, hidden=tuple(config.pop("hidden")), **config)  # type: ignore[arg-type]
            model.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{path} does not hold a {cls.__name__}: {error}") from error
        return model.to(device).eval()
