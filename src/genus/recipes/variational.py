"""Models that infer their hidden causes: variational autoencoders, sigmoid belief networks."""

from typing import Literal

from genus.data import Dataset
from genus.engine import Budget, Descend, Optimiser
from genus.engine.algorithm import Objective
from genus.models.variational import VAE, SigmoidBeliefNetwork
from genus.objectives.variational import EvidenceLowerBound, ImportanceWeighted
from genus.objectives.wake_sleep import VIMCO, WakeSleep
from genus.recipes.recipe import Entry, Full, Published, Recipe
from genus.recipes.suits import need_binary, need_images, need_labels

__all__ = ["ENTRIES", "iwae_50", "sbn", "vae", "vae_conv"]

MOST_FOR_MEAN = 10_000
NUM_DRAWS = {"wake-sleep": 1, "reweighted": 5, "vimco": 50}


def vae(
    data: Dataset,
    *,
    num_latent: int = 32,
    hidden: tuple[int, ...] = (500,),
    num_mixtures: int = 5,
    beta: float = 1.0,
    conditional: bool = False,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
) -> Recipe:
    """Perceptrons on both sides, by the evidence lower bound."""
    seen = need_labels(data, "vae") if conditional else data
    model = VAE(
        seen.space,
        num_latent,
        hidden=hidden,
        num_mixtures=num_mixtures,
        condition=seen.train.condition if conditional else None,
    )
    return _recipe("vae", model, seen, EvidenceLowerBound(beta), learning_rate, batch_size)


def vae_conv(
    data: Dataset,
    *,
    num_latent: int = 32,
    hidden: tuple[int, ...] = (32, 64),
    num_mixtures: int = 5,
    beta: float = 1.0,
    conditional: bool = False,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
) -> Recipe:
    """Convolutions on both sides, by the evidence lower bound."""
    need_images(data, "vae-conv", least=2 ** len(hidden))
    seen = need_labels(data, "vae-conv") if conditional else data
    model = VAE(
        seen.space,
        num_latent,
        architecture="convolutional",
        hidden=hidden,
        num_mixtures=num_mixtures,
        condition=seen.train.condition if conditional else None,
    )
    return _recipe("vae-conv", model, seen, EvidenceLowerBound(beta), learning_rate, batch_size)


def iwae_50(
    data: Dataset,
    *,
    num_latent: int = 50,
    hidden: tuple[int, ...] = (200, 200),
    num_mixtures: int = 5,
    num_samples: int = 50,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
) -> Recipe:
    """Perceptrons on both sides, by the importance-weighted bound."""
    model = VAE(data.space, num_latent, hidden=hidden, num_mixtures=num_mixtures)
    objective = ImportanceWeighted(num_samples)
    return _recipe("iwae-50", model, data, objective, learning_rate, batch_size)


def sbn(
    data: Dataset,
    *,
    hidden: tuple[int, ...] = (200, 200, 200),
    objective: Literal["wake-sleep", "reweighted", "vimco"] = "reweighted",
    num_samples: int | None = None,
    learning_rate: float = 0.02,
    batch_size: int = 100,
) -> Recipe:
    """A sigmoid belief network by wake–sleep (1 draw), reweighted wake–sleep (5) or VIMCO (50)."""
    model = SigmoidBeliefNetwork(need_binary(data, "sbn-200-200-200"), hidden)
    model.set_visible_bias(data.materialise("train", MOST_FOR_MEAN).mean(0))
    count = NUM_DRAWS[objective] if num_samples is None else num_samples
    learnt: Objective
    if objective == "vimco":
        learnt = VIMCO(count)
    else:
        learnt = WakeSleep(count, "both" if objective == "reweighted" else "sleep")
    return _recipe("sbn-200-200-200", model, data, learnt, learning_rate, batch_size)


def _recipe(
    name: str,
    model: VAE | SigmoidBeliefNetwork,
    data: Dataset,
    objective: Objective,
    learning_rate: float,
    batch_size: int,
) -> Recipe:
    algorithm = Descend(
        objective,
        Optimiser(learning_rate=learning_rate, schedule="one-cycle"),
        batch_size=batch_size,
        budget=Budget(epochs=20),
    )
    return Recipe(name, model, data, algorithm, algorithm.budget)


ENTRIES = (
    Entry(
        "vae",
        family="variational",
        summary="perceptrons, evidence lower bound",
        data="mnist",
        view="binary",
        function=vae,
        source="Kingma & Welling 2014",
        published={"log_likelihood": Published(-89.78, ">=", "mnist", "pythae", "static")},
        model="VAE",
    ),
    Entry(
        "vae-conv",
        family="variational",
        summary="convolutions, evidence lower bound",
        data="mnist",
        view="binary",
        function=vae_conv,
        source="Kingma & Welling 2014",
        model="VAE",
    ),
    Entry(
        "iwae-50",
        family="variational",
        summary="perceptrons, importance-weighted bound of 50 samples",
        data="mnist",
        view="binary",
        function=iwae_50,
        source="Burda et al. 2016",
        published={"log_likelihood": Published(-86.82, ">=", "mnist", "pythae", "static")},
        model="VAE",
    ),
    Entry(
        "sbn-200-200-200",
        family="variational",
        summary="three layers of 200 binary causes, reweighted wake–sleep",
        data="mnist",
        view="binary",
        function=sbn,
        source="Bornschein & Bengio 2015",
        model="SigmoidBeliefNetwork",
        full=Full(Budget(epochs=88), effort=1000, precision="bf16"),
    ),
)
