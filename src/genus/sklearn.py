"""Models as scikit-learn estimators, for pipelines, grids and clones.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from genus.sklearn import GenusTransformer
>>> classifier = make_pipeline(GenusTransformer("PPCA"), LogisticRegression())
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from genus.engine.seeding import seeded
from genus.model import Density, Encodes, Model
from genus.models import registry
from genus.models.boltzmann import RBM, DeepBeliefNetwork
from genus.spaces import Binary, Real, Space

__all__ = ["GenusDensity", "GenusTransformer"]

CPU = torch.device("cpu")
LEAST_DEVIATION = 0.05
KINDS = (np.float64, np.float32)
SpaceName = Literal["real", "binary"]


@runtime_checkable
class _Based(Protocol):
    """A model that begins at the base rates of its data."""

    def set_visible_bias(self, mean: Tensor) -> None:
        """Takes the mean of the training data."""


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both adapters share: rows of numbers in, a model of this package inside.

    Rows of float32 make a model of float32, which is about twice as fast; all others float64.

    Args:
        model: name of a model class, such as "PPCA", "MADE" or "RBM".
        space: "real" for any numbers, "binary" for zeros and ones.
        settings: arguments of the model beside its space; None takes its own.
        epochs: how long to learn; None as long as the model asks for.
        seed: of initialisation, order and draws.
    """

    def __init__(
        self,
        model: str = "PPCA",
        *,
        space: SpaceName = "real",
        settings: Mapping[str, Any] | None = None,
        epochs: float | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.space = space
        self.settings = settings
        self.epochs = epochs
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns from the rows of ``X``; ``y`` is ignored."""
        rows = validate_data(self, X, dtype=KINDS, ensure_min_samples=2, ensure_min_features=2)
        with seeded(self.seed, CPU):
            made = self._make(_space(self.space, rows.shape[1]), len(rows))
        made = made.double() if rows.dtype == np.float64 else made.float()
        self._check_model(made)
        data = torch.from_numpy(rows.copy())
        _begin(made, made.space.check(data))
        self.model_: Any = made.fit(data, epochs=self.epochs, seed=self.seed, device="cpu")
        return self

    def _make(self, space: Space, num_rows: int) -> Model:
        cls = registry.find(self.model)
        settings = dict(self.settings or {})
        if self.model == "PPCA" and "num_components" not in settings:
            settings["num_components"] = max(1, min(32, space.num_dimensions - 1, num_rows - 2))
        try:
            return cls(space, **settings)
        except TypeError as error:
            raise ValueError(f"settings do not suit {self.model}: {error}") from error

    def _check_model(self, model: Model) -> None:
        """Raises ValueError where the model cannot answer what the adapter asks."""

    def _rows(self, X: Any) -> Tensor:
        check_is_fitted(self, "model_")
        rows = validate_data(self, X, dtype=KINDS, reset=False)
        return torch.from_numpy(rows.copy()).to(self.model_.example.dtype)


class GenusTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):  # type: ignore[misc]
    """A model's codes as features: ``transform`` is ``encode``."""

    def _check_model(self, model: Model) -> None:
        if not isinstance(model, Encodes):
            raise ValueError(f"a {self.model} does not encode; take PPCA, RBM or VAE")

    @torch.no_grad()
    def transform(self, X: Any) -> np.ndarray:
        """The code of every row, shape ``(rows, code)``."""
        rows = self._rows(X)
        return self.model_.encode(rows).flatten(1).numpy()

    @torch.no_grad()
    def inverse_transform(self, X: Any) -> np.ndarray:
        """The mean row that every code explains."""
        check_is_fitted(self, "model_")
        codes = torch.from_numpy(np.asarray(X, dtype=np.float64)).to(self.model_.example.dtype)
        return self.model_.decode(codes).flatten(1).numpy()

    @property
    def _n_features_out(self) -> int:
        probe = torch.zeros(1, self.n_features_in_, dtype=self.model_.example.dtype)
        with torch.no_grad():
            return int(self.model_.encode(probe).flatten(1).shape[1])


class GenusDensity(DensityMixin, _Estimator):  # type: ignore[misc]
    """A model's density: ``score_samples`` is ``log_prob``, in nats."""

    def _check_model(self, model: Model) -> None:
        if not isinstance(model, Density):
            raise ValueError(f"a {self.model} has no density; take PPCA, MADE, RBM or VAE")

    @torch.no_grad()
    def score_samples(self, X: Any) -> np.ndarray:
        """log p of every row in nats, exact, a bound or an estimate as the model says."""
        rows = self._rows(X)
        with seeded(self.seed, CPU):
            return self.model_.log_prob(rows).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log p of the rows."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draws of the model, shape ``(n_samples, features)``."""
        check_is_fitted(self, "model_")
        return self.model_.sample(n_samples, seed=self.seed).numpy()


def _begin(model: Model, x: Tensor) -> None:
    """Base rates of the data; means and deviations of reals, these at least 1/20 of the largest."""
    if isinstance(model, RBM | DeepBeliefNetwork) and isinstance(model.space, Real):
        deviation = x.std(0)
        largest = float(deviation.max()) or 1.0
        deviation = deviation.clamp_min(LEAST_DEVIATION * largest)
        wide = deviation.square() if isinstance(model, RBM) else deviation
        model.set_visible_bias(x.mean(0), wide)
    elif isinstance(model, _Based):
        model.set_visible_bias(x.mean(0))


def _space(name: SpaceName, size: int) -> Space:
    if name == "real":
        return Real((size,))
    if name == "binary":
        return Binary((size,))
    raise ValueError(f"space must be 'real' or 'binary', got {name!r}")
