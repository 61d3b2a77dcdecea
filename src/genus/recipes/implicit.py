"""Generative adversarial networks."""

from typing import Literal

from genus.data import Dataset
from genus.models.implicit import GAN
from genus.recipes.recipe import Entry, Published, Recipe
from genus.recipes.suits import need_images, need_labels, need_numeric

__all__ = ["ENTRIES", "cgan", "dcgan", "gan"]


def gan(
    data: Dataset,
    *,
    num_latent: int = 64,
    hidden: tuple[int, ...] = (256, 256),
    gamma: float = 0.1,
    noise: float = 0.0,
    learning_rate: float = 1e-3,
    ema: float | None = 0.99,
    batch_size: int = 64,
) -> Recipe:
    """Perceptrons play the non-saturating game."""
    model = GAN(need_numeric(data, "gan"), num_latent, hidden=hidden)
    return _recipe("gan", model, data, gamma, noise, learning_rate, ema, batch_size)


def cgan(
    data: Dataset,
    *,
    architecture: Literal["mlp", "dcgan"] = "mlp",
    num_latent: int = 64,
    hidden: tuple[int, ...] | None = None,
    gamma: float = 0.1,
    noise: float = 0.0,
    learning_rate: float = 1e-3,
    ema: float | None = 0.99,
    batch_size: int = 64,
) -> Recipe:
    """The game with labels: both players are told the class."""
    if architecture == "dcgan":
        need_images(data, "cgan")
    seen = need_labels(data, "cgan")
    model = GAN(
        need_numeric(data, "cgan"),
        num_latent,
        architecture=architecture,
        hidden=hidden,
        condition=seen.train.condition,
    )
    return _recipe("cgan", model, seen, gamma, noise, learning_rate, ema, batch_size)


def dcgan(
    data: Dataset,
    *,
    num_latent: int = 64,
    hidden: tuple[int, ...] = (64, 32),
    gamma: float = 0.1,
    noise: float = 0.0,
    learning_rate: float = 1e-3,
    ema: float | None = 0.99,
    batch_size: int = 64,
) -> Recipe:
    """Convolutions play the non-saturating game."""
    need_images(data, "dcgan", least=2 ** len(hidden))
    space = need_numeric(data, "dcgan")
    model = GAN(space, num_latent, architecture="dcgan", hidden=hidden)
    return _recipe("dcgan", model, data, gamma, noise, learning_rate, ema, batch_size)


def _recipe(
    name: str,
    model: GAN,
    data: Dataset,
    gamma: float,
    noise: float,
    learning_rate: float,
    ema: float | None,
    batch_size: int,
) -> Recipe:
    algorithm = model.algorithm(
        gamma=gamma, noise=noise, learning_rate=learning_rate, ema=ema, batch_size=batch_size
    )
    return Recipe(name, model, data, algorithm, algorithm.budget)


ENTRIES = (
    Entry(
        "gan",
        family="implicit",
        summary="perceptrons, non-saturating game",
        data="mnist",
        view="pixels",
        function=gan,
        source="Goodfellow et al. 2014",
        published={"parzen": Published(225.0, "~", "mnist", "Goodfellow et al. 2014", "pixels")},
        model="GAN",
    ),
    Entry(
        "cgan",
        family="implicit",
        summary="the game with labels",
        data="mnist",
        view="pixels",
        function=cgan,
        source="Mirza & Osindero 2014",
        published={"parzen": Published(132.0, "~", "mnist", "Mirza & Osindero 2014", "pixels")},
        model="GAN",
    ),
    Entry(
        "dcgan",
        family="implicit",
        summary="convolutions, non-saturating game",
        data="mnist",
        view="pixels",
        function=dcgan,
        source="Radford et al. 2015",
        published={"fid": Published(48.3, "~", "cifar10", "StudioGAN", "pixels", "Inception")},
        model="GAN",
    ),
)
