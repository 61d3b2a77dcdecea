"""Every metric of samples under one signature: what was seen of them, and the real data.

A metric is asked twice: of the samples, and of as many real training data in their place, which
gives the floor that no model can be expected to pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from genus.evaluation.classification import classification_accuracy
from genus.evaluation.classifier_score import class_histogram, classifier_score
from genus.evaluation.energy_distance import energy_figure
from genus.evaluation.feature_map import Classifies
from genus.evaluation.figure import Figure
from genus.evaluation.frechet import frechet_figure, frechet_infinity
from genus.evaluation.kernel_distance import kernel_figure
from genus.evaluation.memorisation import memorisation
from genus.evaluation.modes import find_modes, stacked_modes
from genus.evaluation.neighbours import manifold
from genus.evaluation.parzen import parzen_figure
from genus.evaluation.reference import Reference, Seen
from genus.evaluation.two_sample import two_sample_test
from genus.evaluation.vendi import vendi_score
from genus.spaces import Pixels

__all__ = ["METRICS", "QUICK", "Metric", "chosen_metrics", "class_counts", "probabilities"]

Measure = Callable[[Seen, Reference, int], dict[str, Figure]]
MOST_MANIFOLD = 10_000
MOST_REMEMBERED = 2000
FEWEST_HELD_OUT = 150
PARZEN_SAMPLES = 10_000
FEW_DIMENSIONS = 16
LARGEST_SIDE = 64


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
    if truth is None or not truth.num_modes:
        return "the modes of these data are not known"
    if truth.digits:
        return _needs_a_classifier(seen, real)
    return None if truth.standard_deviation is not None else "the width of a mode is not known"


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
    if not found.unknown:
        return {"class_kl": found.kl, "class_total_variation": found.total_variation}
    note = f"{found.kl.note}: KL(samples ‖ real) is infinite"
    return {"class_total_variation": replace(found.total_variation, note=note)}


def class_counts(seen: Seen, real: Reference) -> dict[str, list[int]] | None:
    """How often the classifier behind the features sees each class; None where there is none."""
    if _needs_a_classifier(seen, real) is not None:
        return None
    sets = {"samples": seen, "real": real.test}
    return {
        name: torch.bincount(
            probabilities(part, real).argmax(1), minlength=_num_classes(real)
        ).tolist()
        for name, part in sets.items()
    }


def _num_classes(real: Reference) -> int:
    assert isinstance(real.features, Classifies)
    return real.features.num_classes


def _vendi(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    return {"vendi": vendi_score(seen.features, seed=seed)}


def _energy(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    near = real.test.units.flatten(1)
    return {"energy_distance": energy_figure(seen.units.flatten(1), near, seed=seed)}


def _memorisation(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    few = seen.units[:MOST_REMEMBERED].flatten(1)
    held_out = real.halves()[0].units[:MOST_REMEMBERED].flatten(1)
    found = memorisation(few, real.remembered.flatten(1), held_out, seed=seed)
    distances = f"{found.median_distance:.4g}, of held-out data {found.held_out_distance:.4g}"
    note = f"{found.near_copies.note}; median distance to training data {distances}; C_T = "
    copies = replace(found.near_copies, note=f"{note}{found.copying:.1f}")
    return {"near_copies": copies, "nearer_train": found.nearer_train}


def _two_sample(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    few = seen.features.shape[1] <= FEW_DIMENSIONS
    classifier: Literal["linear", "neighbours"] = "neighbours" if few else "linear"
    found = two_sample_test(seen.features, real.test.features, classifier=classifier, seed=seed)
    note = f"{found.accuracy.note}, p = {found.p_value:.2g}"
    return {"two_sample_accuracy": replace(found.accuracy, note=note)}


def _needs_test_data(seen: Seen, real: Reference) -> str | None:
    enough = len(real.test) >= FEWEST_HELD_OUT
    return None if enough else f"{len(real.test)} test data, fewer than {FEWEST_HELD_OUT}"


def _needs_labels(seen: Seen, real: Reference) -> str | None:
    if real.test.labels is None or real.train.labels is None:
        return f"{real.data.name} has no labels"
    return "the samples have no labels" if seen.labels is None else None


def _classification(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    assert seen.labels is not None and real.test.labels is not None  # noqa: PT018 - unsuited
    shape = seen.units.shape[1:]
    as_pictures = real.data.kind == "image" and len(shape) == 3 and max(shape[1:]) <= LARGEST_SIDE
    found = classification_accuracy(
        seen.units if as_pictures else seen.features,
        seen.labels,
        real.test.units if as_pictures else real.test.features,
        real.test.labels,
        classifier="network" if as_pictures else "linear",
        seed=seed,
    )
    return {"classification_accuracy": found.samples}


def _parzen(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    samples = seen.units[:PARZEN_SAMPLES].flatten(1)
    found = parzen_figure(
        samples, real.test.units.flatten(1), real.valid_units().flatten(1), seed=seed
    )
    figure = found.log_likelihood
    if not isinstance(real.data.base.space, Pixels):
        note = f"{figure.note}; not Goodfellow's protocol, which takes grey pictures on [0, 1]"
        figure = replace(figure, note=note)
    return {"parzen": figure}


def _modes(seen: Seen, real: Reference, seed: int) -> dict[str, Figure]:
    truth = real.data.truth
    assert truth is not None
    if truth.digits:
        labels, shown = real.data.labels("train"), probabilities(seen, real).argmax(1)
        assert labels is not None
        shares = torch.bincount(labels, minlength=truth.num_modes).double() / len(labels)
        places = [10**place for place in reversed(range(truth.digits))]
        digits = [shown // place % 10 for place in places]
        return stacked_modes(digits, truth=shares, seed=seed).figures()
    assert truth.standard_deviation is not None
    flat, centres = seen.units.flatten(1), truth.modes.flatten(1)
    return find_modes(flat, centres, truth.standard_deviation, seed=seed).figures()


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
    "memorisation": Metric(
        "whether they are copies of training data",
        _memorisation,
        ("near_copies", "nearer_train"),
        unsuited=_needs_test_data,
        about_training=True,
    ),
    "two_sample": Metric(
        "how well a classifier tells them from real data", _two_sample, ("two_sample_accuracy",)
    ),
    "classification": Metric(
        "how well a classifier that learnt only them knows real data",
        _classification,
        ("classification_accuracy",),
        _needs_labels,
    ),
    "energy": Metric(
        "energy distance of points in few dimensions",
        _energy,
        ("energy_distance",),
        _in_few_dimensions,
    ),
    "modes": Metric(
        "known modes that were found",
        _modes,
        ("modes", "high_quality", "kl", "kl_truth_samples"),
        _has_modes,
    ),
    "parzen": Metric(
        "log-likelihood under a Parzen window of them: compare with real data only",
        _parzen,
        ("parzen",),
        on_request=True,
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
