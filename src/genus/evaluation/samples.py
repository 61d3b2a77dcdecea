"""How far a model's samples are from real data, beside how far real data are from themselves."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from genus.evaluation.figure import Figure
from genus.evaluation.metrics import METRICS, chosen_metrics, class_counts
from genus.evaluation.reference import Reference, Seen

__all__ = ["Quality", "sample_quality"]


@dataclass(frozen=True)
class Quality:
    """Figures of samples, each beside that of as many real, held-out data.

    Attributes:
        figures: by name, such as "fid" or "precision".
        floors: the same of real training data in the place of the samples.
        feature_network: what the features are, and where they come from.
        feature_kind: the same in a word.
        feature_accuracy: of the classifier behind them, where there is one.
        seconds: what each metric took, floor included.
        skipped: metrics that do not suit the data or could not be computed, with the reason.
        num_reference: real data that they were compared with.
        classes: how often a classifier sees each class in "samples" and in "real" data.
    """

    figures: dict[str, Figure]
    floors: dict[str, Figure]
    feature_network: str
    feature_kind: str
    feature_accuracy: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    num_reference: int = 0
    classes: dict[str, list[int]] | None = None


def sample_quality(
    seen: Seen,
    reference: Reference,
    *,
    only: Sequence[str] | None = None,
    strict: bool = False,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> Quality:
    """Compares samples with real data by every metric that suits both.

    The floor is that of as many real training data; where the training set is smaller than the
    samples, of all of it.

    Args:
        seen: the samples, as :meth:`Reference.see` sees them.
        reference: the real data.
        only: names of metrics or of their figures; the usual ones by default.
        strict: raise where one cannot be computed, rather than skip it.
        seed: of bootstraps and subsets.
        say: told which metric comes next.

    Raises:
        ValueError: where a name is unknown; with ``strict`` also where a metric does not suit the
            data, or there are too few samples for it.
    """
    figures: dict[str, Figure] = {}
    floors: dict[str, Figure] = {}
    seconds: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for name in chosen_metrics(only):
        metric = METRICS[name]
        reason = metric.unsuited(seen, reference)
        if reason is not None:
            skipped[name] = reason
            if strict:
                raise ValueError(f"{name} cannot be measured here: {reason}")
            continue
        if say is not None:
            say(name)
        clock = time.perf_counter()
        try:
            found = metric.measure(seen, reference, seed)
            floor = reference.floor(metric, name, len(seen), seed)
        except ValueError as error:
            if strict:
                raise
            skipped[name] = str(error)
            continue
        figures, floors = figures | found, floors | floor
        seconds[name] = round(time.perf_counter() - clock, 3)
    classes = class_counts(seen, reference) if "classes" in seconds else None
    named = (reference.features.name, reference.features.kind, reference.features.accuracy)
    return Quality(figures, floors, *named, seconds, skipped, len(reference.test), classes)
