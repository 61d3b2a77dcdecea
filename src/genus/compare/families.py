"""Who takes part in a comparison, and with which settings for minutes on a processor."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genus.data.dataset import View

__all__ = ["FAMILIES", "USUAL", "Family", "chosen"]


@dataclass(frozen=True)
class Family:
    """One row of the comparison.

    Attributes:
        recipe: its name in the recipe book.
        title: how the report calls it.
        settings: of the recipe, where a minute on two cores asks for others.
        view: of pictures, where it learns better from another than the one that all share; its
            draws are then judged in the shared one.
        likelihood_effort: samples or chains behind its bound or estimate.
        likelihood_examples: test examples for its likelihood.
    """

    recipe: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    view: View | None = None
    likelihood_effort: int | None = None
    likelihood_examples: int = 2000


FAMILIES: dict[str, Family] = {
    "ppca": Family("ppca", "PPCA"),
    "rbm": Family("rbm-500", "RBM"),
    "dbn": Family("dbn-500-2000", "DBN", likelihood_effort=1),
    "dbm": Family("dbm-500-1000", "DBM", likelihood_effort=1),
    "sbn": Family("sbn-200-200-200", "SBN", likelihood_effort=100, likelihood_examples=1000),
    "made": Family("made", "MADE", {"learning_rate": 3e-3}),
    "pixelcnn": Family("pixelcnn", "PixelCNN"),
    "vae": Family(
        "vae",
        "VAE",
        {"hidden": (500,), "num_latent": 40, "learning_rate": 5e-3},
        likelihood_effort=64,
        likelihood_examples=1000,
    ),
    "gan": Family("dcgan", "GAN", view="pixels"),
    "diffusion": Family(
        "ddpm",
        "Diffusion",
        {"channels": (32, 64), "num_blocks": 1, "batch_size": 64, "ema": 0.995},
        likelihood_effort=20,
        likelihood_examples=1000,
    ),
}
"""The families by name, in the order of the table: explicit tractable, approximate, implicit."""

USUAL = ("ppca", "rbm", "made", "pixelcnn", "vae", "gan", "diffusion")
"""Those compared where nobody names any: one of each kind."""


def chosen(models: str | Sequence[str]) -> list[str]:
    """Names of families from a comma-separated text or a sequence.

    Raises:
        ValueError: where a name is unknown, double, or none is given.
    """
    names = [part.strip() for part in models.split(",")] if isinstance(models, str) else [*models]
    names = [name for name in names if name]
    for name in names:
        if name not in FAMILIES:
            near = difflib.get_close_matches(name, FAMILIES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"no family is called {name!r}{hint} (families: {', '.join(FAMILIES)})"
            )
    if not names:
        raise ValueError(f"models must name at least one of {', '.join(FAMILIES)}")
    if len(set(names)) < len(names):
        raise ValueError(f"models names a family twice: {', '.join(names)}")
    return names
