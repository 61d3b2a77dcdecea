"""The judging of a run, and of samples of any program: data, features, figures, record."""

import inspect
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genus.cli.output import progress_console
from genus.data import Dataset, load
from genus.data.drawn import Drawn, read_samples
from genus.data.loading import ENTRIES
from genus.engine import checkpoint
from genus.evaluation import (
    Effort,
    Features,
    Quality,
    Reference,
    Report,
    chosen_metrics,
    chosen_parts,
    closest_pairs,
    evaluate,
    sample_quality,
)
from genus.evaluation.feature_network import CHOICES, Choice, features_for
from genus.evaluation.resizing import Resizing
from genus.recipes.results import record_of_samples, results_of
from genus.recipes.runs import RunFolder
from genus.recipes.settings import parse_loading
from genus.report.grids import grid, png
from genus.spaces import Pixels

__all__ = ["PICTURE", "Through", "judge", "judge_samples"]

MOST_DRAWS, FEW_DRAWS = 10_000, 2048
PICTURE = "closest.png"


class Through:
    """Which features, and how many samples pass through them.

    Args:
        name: of the features, or the path of a network.
        resizing: of Inception.
        device: where they are computed.
        draws: samples at most; by default fewer where the features are slow.
    """

    def __init__(
        self,
        name: str = "auto",
        resizing: Resizing = "tf",
        device: str = "cpu",
        draws: int | None = None,
    ) -> None:
        self.choice: Choice | Path = "auto"
        if name in CHOICES:
            self.choice = name
        elif Path(name).exists():
            self.choice = Path(name)
        else:
            raise ValueError(
                f"--features must be one of {', '.join(CHOICES)}, or the path of a TorchScript "
                f"file, got {name!r}"
            )
        self.name, self.resizing, self.device, self.draws = name, resizing, device, draws

    def features(self, data: Dataset, seed: int, folder: Path | None) -> Features | None:
        """The features of these data."""
        finest = data.viewed("pixels") if isinstance(data.stored_space, Pixels) else data.base
        return features_for(
            finest,
            self.choice,
            resizing=self.resizing,
            seed=seed,
            folder=folder,
            device=self.device,
        )

    def most(self, features: Features) -> int:
        """How many samples."""
        return self.draws or (FEW_DRAWS if self._are_slow(features) else MOST_DRAWS)

    def real(self, features: Features) -> int:
        """How many real data of each part: more than samples only where that costs little."""
        return self.most(features) if self._are_slow(features) else MOST_DRAWS

    def _are_slow(self, features: Features) -> bool:
        return features.kind in ("Inception", "given") and self.device == "cpu"

    def command(self) -> list[str]:
        """What was asked for, as it is typed."""
        typed = [] if self.name == "auto" else ["--features", self.name]
        typed += [] if self.resizing == "tf" else ["--resizing", self.resizing]
        return typed + ([] if self.draws is None else ["--draws", str(self.draws)])


def judge(
    opened: RunFolder,
    data: str | None,
    view: str | None,
    spend: Effort,
    seed: int,
    loading: tuple[str, ...] = (),
    *,
    only: list[str] | None = None,
    seen: Through | None = None,
) -> tuple[dict[str, Any], Report]:
    """The record and the report of a run."""
    through = seen or Through()
    chosen = opened.data(data, view=view, loading=parse_loading(loading))
    with _telling(f"evaluating {opened.path} on {chosen.name}") as tell:
        reference = None
        if only is None or chosen_parts(only)[1]:
            features = through.features(chosen, seed, opened.path)
            if features is not None:
                most = through.most(features)
                spend = spend if seen is None else replace(spend, samples=most)
                reference = _reference(chosen, features, through.real(features), most, tell)
        report = evaluate(
            opened.model, chosen, effort=spend, reference=reference, only=only, seed=seed, say=tell
        )
        if reference is not None and report.samples is not None and chosen.kind == "image":
            pairs = closest_pairs(reference.units(report.samples), reference)
            checkpoint.write_bytes(
                opened.path / PICTURE, png(grid(torch.cat(pairs), len(pairs[0])))
            )
    given = {
        "seconds": f"{spend.likelihood_seconds:g}",
        "seed": seed,
        "effort": spend.likelihood_effort,
        "data": data,
        "view": view,
    }
    first = [str(opened.path), "-n", str(spend.likelihood_examples)]
    command = _typed(first, given, only, loading, through)
    return results_of(opened, report, command, chosen), report


def judge_samples(
    path: str,
    data: str | None,
    view: str | None,
    loading: tuple[str, ...],
    only: list[str] | None,
    through: Through,
    seed: int,
) -> dict[str, Any]:
    """The record of samples that some program drew."""
    if data is None:
        raise ValueError("--samples needs --data: the data set that they shall be like")
    chosen_metrics(only)
    real, drawn = _loaded(path, data, parse_loading(loading))
    real = _seen_alike(real, drawn, view)
    with _telling(f"judging {len(drawn.x):,} samples beside {real.name}") as tell:
        features = through.features(real, seed, None)
        if features is None:
            raise ValueError(f"{real.name} has no unit in which samples could be compared")
        count = min(len(drawn.x), through.draws or len(drawn.x))
        reference = _reference(real, features, through.real(features), count, tell)
        labels = None if drawn.labels is None else drawn.labels[: through.draws]
        seen = reference.see(drawn.x[: through.draws], labels)
        quality: Quality = sample_quality(
            seen, reference, only=only, strict=only is not None, seed=seed, say=tell
        )
    given = {"samples": path, "data": data, "seed": seed, "view": view}
    command = _typed([], given, only, loading, through)
    return record_of_samples(path, real, quality, len(seen), command)


def _loaded(path: str, data: str, options: dict[str, Any]) -> tuple[Dataset, Drawn]:
    """The data and the samples; options go to the samples, and to data that are a path.

    Raises:
        ValueError: for an option that neither takes.
    """
    known = inspect.signature(read_samples).parameters
    named = data in ENTRIES
    for option in options:
        if named and option not in known:
            raise ValueError(
                f"samples take no option {option!r} (options: {', '.join(list(known)[2:])})"
            )
    real = load(data) if named else load(data, **options)
    return real, read_samples(path, real, **{k: v for k, v in options.items() if k in known})


def _typed(
    first: list[str],
    given: dict[str, Any],
    only: list[str] | None,
    loading: tuple[str, ...],
    through: Through,
) -> str:
    """The command that measures this again."""
    words = ["genus", "evaluate", *first]
    for key, value in {**given, "only": None if only is None else ",".join(only)}.items():
        words += [] if value is None else [f"--{key}", str(value)]
    for option in loading:
        words += ["--load", option]
    return shlex.join(words + through.command())


def _seen_alike(data: Dataset, drawn: Drawn, view: str | None) -> Dataset:
    """The data in the view that samples are given in: black and white beside the same."""
    if not isinstance(data.stored_space, Pixels):
        return data
    chosen = view or ("binary" if drawn.is_binary else "pixels")
    if chosen != "pixels" and not drawn.is_binary:
        raise ValueError(
            f"{drawn.origin} holds grey levels, which cannot be judged beside black and white "
            "data; give --view pixels, or binarise the samples"
        )
    return data.viewed(chosen)  # type: ignore[arg-type]


def _reference(
    data: Dataset, features: Features, most: int, samples: int, say: Callable[[str], None]
) -> Reference:
    def told(done: int, total: int) -> None:
        say(f"{features.kind} features of real data: {done:,} of {total:,}")

    return Reference(data, features, most=most, num_floor=samples, progress=told)


@contextmanager
def _telling(title: str) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what is being done now."""
    console = progress_console()
    console.print(f"{title} ...", style="dim", markup=False)
    with console.status(title) as status:
        yield lambda text: status.update(text)
