"""Linear models."""

from typing import Literal

from genus.data import Dataset
from genus.models.linear import PPCA
from genus.recipes.recipe import Entry, Recipe
from genus.recipes.suits import need_real

__all__ = ["ENTRIES", "ppca"]


def ppca(
    data: Dataset,
    *,
    num_components: int = 50,
    method: Literal["closed form", "em"] = "closed form",
) -> Recipe:
    """Probabilistic principal components; fewer where the data have fewer dimensions."""
    real, space = need_real(data, "ppca")
    most = space.num_dimensions - 1
    if most < 1:
        raise ValueError(f"ppca needs data of at least two numbers; {data.name} has one")
    model = PPCA(space, min(num_components, most), method=method)
    algorithm = model.algorithm()
    return Recipe("ppca", model, real, algorithm, algorithm.budget)


ENTRIES = (
    Entry(
        "ppca",
        family="linear",
        summary="a Gaussian of low rank, solved in closed form",
        data="mnist",
        view="pixels",
        function=ppca,
        source="Tipping & Bishop 1999",
        model="PPCA",
    ),
)
