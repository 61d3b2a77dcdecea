"""Every metric of samples under one signature: what was seen of them, and the real data.

A metric is asked twice: of the samples, and of as many real training data in their place, which
gives the floor that no model can be expected to pass.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from torch import Tensor

from genus.evaluation.classifier_score import class_histogram, classifier_score
from genus.evaluation.energy_distance import energy_distance
from genus.evaluation.feature_map import Classifies
from genus.evaluation.figure import Figure
from genus.evaluation.frechet import frechet_figure, frechet_infinity
from genus.evaluation.kernel_distance import kernel_figure
from genus.evaluation.modes import find_modes
from genus.evaluation.neighbours import manifold
from genus.evaluation.reference import Reference, Seen
from genus.evaluation.vendi import vendi_score

__all__ = ["METRICS", "QUICK", "Metric", "chosen_metrics", "probabilities"]

Measure = Callable[[Seen, Reference, int], dict[str, Figure]]
MOST_MANIFOLD = 10_000
FEW_DIMENSIONS = 16


class Metric(NamedTuple):
    """One computation, which may give several figures.

    Attributes:
        summary: in a line.
        measure: from what was seen of samples, the real data and a seed to figures by name.
        figures: the names that it gives.
        unsuited: why it cannot be asked of these samples, or None.
        on_request: whether it is left out unless it is named.
        about_training: whether it compares samples with training data rather than test data.
    """

    summary: str
    measure: Measure
    figures: tuple[str, ...]
    unsuited: Callable[[Seen, Reference], str | None] = lambda seen, real: None
    on_request: bool = False
    about_training: bool = False


def _in_few_dimensions(seen: Seen, real: Reference) -> str | None:
    dimensions = real.test.units[0].numel()
    return None if dimensions <= FEW_DIMENSIONS else f"for at most {FEW_DIMENSIONS} dimensions"


def _needs_a_classifier(seen: Seen, real: Reference) -> str | None:
    known = isinstance(real.features, Classifies)
    return None if known else f"{real.features.kind} features come with no classifier"


def probabilities(seen: Seen, real: Reference) -> Tensor:
    """p(class | x) by the network behind the features."""
    assert isinstance(real.features, Classifies)
    return real.features.probabilities_from(seen.features)


def _has_modes(seen: Seen, real: Reference) -> str | None:
    truth = real.data.truth
    known = truth is not None and truth.standard_deviation is not None and len(truth.modes) > 0
    return None if known else "the modes of these data are not known"


def _fid(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"fid": frechet_figure(seen.features, real.moments, seed=seed, warn=False)}


def _fid_infinity(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"fid_infinity": frechet_infinity(seen.features, real.moments, seed=seed)}


def _kid(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"kid": kernel_figure(seen.features, real.test.features, seed=seed)}


def _manifold(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    near = min(MOST_MANIFOLD, len(seen), len(real.test))
    found = manifold(real.test.features[:near], seen.features[:near], seed=seed)
    return found.figures()


def _score(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"classifier_score": classifier_score(probabilities(seen, real), seed=seed)}


def _classes(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    found = class_histogram(probabilities(seen, real), probabilities(real.test, real), seed=seed)
    return {"class_kl": found.kl, "class_total_variation": found.total_variation}


def _vendi(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"vendi": vendi_score(seen.features, seed=seed)}


def _energy(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    value = energy_distance(seen.units.flatten(1), real.test.units.flatten(1))
    return {"energy_distance": Figure(value, "~", num_examples=len(seen))}


def _modes(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    truth = real.data.truth
    assert truth is not None and truth.standard_deviation is not None  # noqa: PT018 - suits
    found = find_modes(seen.units.flatten(1), truth.modes.flatten(1), truth.standard_deviation)
    named = {"modes": float(found.found), "high_quality": found.good, "kl": found.kl}
    return {k: Figure(v, "~", num_examples=len(seen)) for k, v in named.items() if v is not None}


METRICS: dict[str, Metric] = {
    "fid": Metric("Fréchet distance of the features", _fid, ("fid",)),
    "fid_infinity": Metric("the same for infinitely many", _fid_infinity, ("fid_infinity",)),
    "kid": Metric("kernel distance of the features", _kid, ("kid",)),
    "manifold": Metric(
        "who lies in whose neighbourhood",
        _manifold,
        ("precision", "recall", "density", "coverage"),
    ),
    "classifier_score": Metric(
        "how sure and how varied a classifier finds them",
        _score,
        ("classifier_score",),
        _needs_a_classifier,
    ),
    "classes": Metric(
        "classes beside those of real data",
        _classes,
        ("class_kl", "class_total_variation"),
        _needs_a_classifier,
    ),
    "vendi": Metric("how many are different, in effect", _vendi, ("vendi",)),
    "energy": Metric(
        "energy distance of points in few dimensions",
        _energy,
        ("energy_distance",),
        _in_few_dimensions,
    ),
    "modes": Metric(
        "known modes that were found", _modes, ("modes", "high_quality", "kl"), _has_modes
    ),
}

QUICK = ("fid", "manifold", "energy", "modes")
"""What costs little: the metrics of a comparison."""


def chosen_metrics(names: Sequence[str] | None, *, others: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics of these names, or of the figures that bear them; None for the usual ones.

    Args:
        names: of metrics or of figures.
        others: what else could have been named, for the error.

    Raises:
        ValueError: for a name that is neither.
    """
    if names is None:
        return tuple(name for name, metric in METRICS.items() if not metric.on_request)
    homes = {figure: name for name, metric in METRICS.items() for figure in metric.figures}
    homes |= {name: name for name in METRICS}
    for name in names:
        if name not in homes:
            near = get_close_matches(name, (*homes, *others), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join((*others, *METRICS))
            raise ValueError(f"nothing that is measured is called {name!r}{hint} ({known})")
    wanted = {homes[name] for name in names}
    return tuple(name for name in METRICS if name in wanted)
