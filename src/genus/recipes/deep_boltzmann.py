"""Deep Boltzmann machines."""

from genus.data import Dataset
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.optimisers import Schedule
from genus.models.boltzmann import DeepBoltzmannMachine
from genus.objectives.persistent_layers import PersistentLayers
from genus.recipes.deep_pictures import deep
from genus.recipes.recipe import Entry, Full, Published, Recipe
from genus.recipes.suits import need_binary

__all__ = ["ENTRIES", "deep_boltzmann"]

MOST_FOR_MEAN = 10_000


def deep_boltzmann(
    data: Dataset,
    *,
    hidden: tuple[int, ...] = (500, 1000),
    hidden_share: float = 0.5,
    pretraining: float = 0.0,
    pretraining_rate: float = 0.1,
    num_sweeps: int = 2,
    k: int = 3,
    num_chains: int = 100,
    learning_rate: float = 0.1,
    momentum: float = 0.5,
    weight_decay: float = 0.0,
    schedule: Schedule = "one-cycle",
    batch_size: int = 100,
) -> Recipe:
    """Mean field and persistent chains, centred; greedy layers first for a share of the budget.

    A schedule that begins low allows a larger rate: with one Gibbs step a step and a rate of 0.1
    that only falls, learning ran away within 200 steps on MNIST.
    """
    if not 0 <= pretraining < 1:
        raise ValueError(
            f"pretraining must be at least 0 and below 1, got {pretraining}; it is the share of "
            "the budget for greedy layers, and 0 leaves them out"
        )
    model = DeepBoltzmannMachine(need_binary(data, "dbm-500-1000"), hidden)
    model.set_visible_bias(data.materialise("train", MOST_FOR_MEAN).mean(0))
    model.set_hidden_bias(hidden_share)
    together = Descend(
        PersistentLayers(num_sweeps, k, num_chains),
        Optimiser(
            "sgd",
            learning_rate=learning_rate,
            betas=(momentum, 0.0),
            weight_decay=weight_decay,
            schedule=schedule,
        ),
        batch_size=batch_size,
    )
    algorithm: Algorithm = together
    if pretraining:
        algorithm = model.pretrained(together, share=pretraining, learning_rate=pretraining_rate)
    pictures = deep(model, algorithm, data)
    return Recipe("dbm-500-1000", model, data, algorithm, Budget(epochs=100), pictures=pictures)


ENTRIES = (
    Entry(
        "dbm-500-1000",
        family="boltzmann",
        summary="two hidden layers without direction, mean field and persistent chains, centred",
        data="mnist",
        view="binary",
        function=deep_boltzmann,
        source="Salakhutdinov & Hinton 2009",
        published={
            "log_likelihood": Published(
                -84.62,
                ">=",
                "mnist",
                "Salakhutdinov & Hinton 2009, bound with log Z annealed forwards",
                "static",
            ),
            "error_rate": Published(
                0.0095, "=", "mnist", "Salakhutdinov & Hinton 2009, fine-tuned classifier"
            ),
        },
        model="DeepBoltzmannMachine",
        full=Full(Budget(epochs=132), effort=1, temperatures=14_500, chains=200, precision="bf16"),
    ),
)
