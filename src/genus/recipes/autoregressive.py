"""Autoregressive models."""

from genus.data import Dataset
from genus.engine import Budget, Descend, Optimiser
from genus.models.autoregressive import MADE, PixelCNN
from genus.objectives.likelihood import NegativeLogLikelihood, RandomOrder
from genus.recipes.recipe import Entry, Published, Recipe
from genus.recipes.suits import need_discrete, need_images, need_labels

__all__ = ["ENTRIES", "made", "pixelcnn"]


def made(
    data: Dataset,
    *,
    hidden: tuple[int, ...] = (500, 500),
    num_orders: int = 1,
    num_mixtures: int = 5,
    conditional: bool = False,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
) -> Recipe:
    """A masked perceptron by maximum likelihood."""
    seen = need_labels(data, "made") if conditional else data
    model = MADE(
        seen.space,
        hidden,
        num_orders=num_orders,
        num_mixtures=num_mixtures,
        condition=seen.train.condition if conditional else None,
    )
    algorithm = Descend(
        NegativeLogLikelihood() if num_orders == 1 else RandomOrder(),
        Optimiser(learning_rate=learning_rate, schedule="one-cycle"),
        batch_size=batch_size,
        budget=Budget(epochs=20),
    )
    return Recipe("made", model, seen, algorithm, algorithm.budget)


def pixelcnn(
    data: Dataset,
    *,
    channels: int = 32,
    num_layers: int = 5,
    kernel: int = 3,
    first_kernel: int = 15,
    num_mixtures: int = 5,
    conditional: bool = False,
    learning_rate: float = 4e-3,
    clip: float | None = 200.0,
    batch_size: int = 32,
) -> Recipe:
    """A gated PixelCNN by maximum likelihood."""
    need_discrete(data, "pixelcnn")
    need_images(data, "pixelcnn")
    seen = need_labels(data, "pixelcnn") if conditional else data
    model = PixelCNN(
        seen.space,
        channels=channels,
        num_layers=num_layers,
        kernel=kernel,
        first_kernel=first_kernel,
        num_mixtures=num_mixtures,
        condition=seen.train.condition if conditional else None,
    )
    algorithm = Descend(
        NegativeLogLikelihood(),
        Optimiser(learning_rate=learning_rate, schedule="one-cycle", clip=clip),
        batch_size=batch_size,
        budget=Budget(epochs=3),
    )
    return Recipe("pixelcnn", model, seen, algorithm, algorithm.budget)


ENTRIES = (
    Entry(
        "made",
        family="autoregressive",
        summary="a masked perceptron: one pass gives every conditional",
        data="mnist",
        view="binary",
        function=made,
        source="Germain et al. 2015",
        published={
            "log_likelihood": Published(
                -84.87, "=", "mnist", "pytorch-generative, chosen on test", "binary"
            )
        },
        model="MADE",
    ),
    Entry(
        "pixelcnn",
        family="autoregressive",
        summary="gated causal convolutions, sampled with caches",
        data="mnist",
        view="binary",
        function=pixelcnn,
        source="van den Oord et al. 2016",
        published={
            "log_likelihood": Published(
                -81.45, "=", "mnist", "pytorch-generative, chosen on test", "binary"
            )
        },
        model="PixelCNN",
    ),
)
