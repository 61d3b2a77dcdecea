"""``genus evaluate``: asks a trained model, or the samples of any program, all there is to ask."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from genus.cli.figures import show_record
from genus.cli.options import Data, Device, Json, Loading, Seed, View
from genus.cli.output import print_json, progress_console, say
from genus.data import Dataset, load
from genus.data.drawn import Drawn, read_samples
from genus.engine import checkpoint
from genus.engine.loop import resolve_device
from genus.evaluation import (
    METRICS,
    PARTS,
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
from genus.recipes.results import record_of_samples, results_of, write_results
from genus.recipes.runs import RunFolder, open_run
from genus.recipes.settings import parse_loading
from genus.report.grids import grid, png
from genus.spaces import Pixels

__all__ = ["command", "judge"]

MOST_DRAWS, FEW_DRAWS = 10_000, 2048
PICTURE = "closest.png"

Run = Annotated[
    str | None,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN", help="Folder of a run; leave it out with --samples."),
]
Samples = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="DIR|FILE",
        help="Samples of any program: a folder of images, a .npy or .npz file. Needs --data.",
        help_behavior_hint="",
    ),
]
Only = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="A,B,...",
        help="What to measure, such as likelihood,fid,kid; all by default.",
        help_behavior_hint="",
    ),
]
FeaturesOption = Annotated[
    str,
    tyro.conf.arg(
        metavar="NAME|FILE",
        help="What samples are compared in: auto, inception, digits, classifier, pixels, or a "
        "TorchScript file of yours.",
    ),
]
Number = Annotated[
    int, tyro.conf.arg(name="num", aliases=("-n",), help="Test examples for the likelihood.")
]
Draws = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="N",
        help="Samples to draw at most; by default 10000, or 2048 where features are slow.",
        help_behavior_hint="",
    ),
]
EffortOption = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="K",
        help="Samples or chains behind a bound or an estimate.",
        help_behavior_hint="",
    ),
]
Seconds = Annotated[
    float,
    tyro.conf.arg(help="About the most for the likelihood, and again for drawing the samples."),
]
Results = Annotated[
    str | None,
    tyro.conf.arg(metavar="DIR", help="Also write DIR/RECIPE.json.", help_behavior_hint=""),
]


def command(
    run: Run = None,
    samples: Samples = None,
    data: Data = None,
    view: View = None,
    loading: Loading = (),
    only: Only = None,
    features: FeaturesOption = "auto",
    resizing: Resizing = "tf",
    n: Number = 2000,
    draws: Draws = None,
    effort: EffortOption = None,
    seconds: Seconds = 60.0,
    seed: Seed = 0,
    device: Device = "auto",
    results: Results = None,
    json: Json = False,
) -> None:
    """Measures a trained model on test data, or samples of any program against a data set.

    The figures of a run are kept in RUN/evaluation.json, for the card of a shared model.

    Args:
        run: folder of a run.
        samples: of any other program.
        data: other data of the same space; with --samples what these shall be like.
        view: of images.
        loading: options for the loader of --data, or of --samples.
        only: what to measure.
        features: what samples are compared in.
        resizing: how Inception's pictures are scaled: tf, torch or clean.
        n: test examples for the likelihood.
        draws: samples to draw.
        effort: behind a bound or an estimate.
        seconds: at most about this long for the likelihood, and again for the samples.
        seed: of all draws.
        device: where to compute.
        results: also write the figures to this folder.
        json: print the figures as JSON.
    """
    given = (("-n", n), ("--draws", draws), ("--effort", effort), ("--seconds", seconds))
    for name, number in given:
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
    _check_kind(run, samples, {"--results": results, "--effort": effort})
    names = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    if names == []:
        raise ValueError(f"--only names nothing; measured can be {', '.join((*PARTS, *METRICS))}")
    place = str(resolve_device(device))
    seen = _Through(features, resizing, place, draws)
    if samples is not None:
        record = _judge_samples(samples, data, view, loading, names, seen, seed)
    else:
        assert run is not None
        if names is not None:
            chosen_parts(names)
        opened = open_run(run, device=place)
        spend = Effort(
            likelihood_examples=n,
            likelihood_effort=effort,
            likelihood_seconds=seconds,
            sample_seconds=seconds,
            held_out_seconds=seconds / 2,
            parts=PARTS,
            metrics=None,
        )
        record, _ = judge(opened, data, view, spend, seed, loading, only=names, seen=seen)
        record["command"] += "" if device == "auto" else f" --device {device}"
        if data is None and view is None and only is None:
            checkpoint.write_json(opened.path / "evaluation.json", record)
        if results is not None:
            write_results(Path(results), record)
    if json:
        print_json(record)
        return
    show_record(record)
    if run is not None and (Path(run) / PICTURE).exists() and record.get("feature_network"):
        say(f"samples most like training data, above the latter: {Path(run) / PICTURE}")


def _check_kind(run: str | None, samples: str | None, of_runs: dict[str, Any]) -> None:
    """A run or samples, and with samples no option that is of runs."""
    if (run is None) == (samples is None):
        raise ValueError("give the folder of a run, or --samples with --data; not both")
    for option, value in of_runs.items():
        if samples is not None and value is not None:
            raise ValueError(f"{option} is for a run; with --samples use --json > FILE")


class _Through:
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
    seen: _Through | None = None,
) -> tuple[dict[str, Any], Report]:
    """The record and the report of a run."""
    through = seen or _Through()
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
    command = ["genus", "evaluate", str(opened.path), "-n", str(spend.likelihood_examples)]
    command += ["--seconds", f"{spend.likelihood_seconds:g}", "--seed", str(seed)]
    given = {"effort": spend.likelihood_effort, "data": data, "view": view}
    given["only"] = None if only is None else ",".join(only)
    for key, value in given.items():
        command += [] if value is None else [f"--{key}", str(value)]
    for option in loading:
        command += ["--load", option]
    command += through.command()
    return results_of(opened, report, shlex.join(command), chosen), report


def _judge_samples(
    path: str,
    data: str | None,
    view: str | None,
    loading: tuple[str, ...],
    only: list[str] | None,
    through: _Through,
    seed: int,
) -> dict[str, Any]:
    """The record of samples that some program drew."""
    if data is None:
        raise ValueError("--samples needs --data: the data set that they shall be like")
    chosen_metrics(only)
    real = load(data)
    drawn = read_samples(path, real, **parse_loading(loading))
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
    command = ["genus", "evaluate", "--samples", path, "--data", data, "--seed", str(seed)]
    given = {"view": view, "only": None if only is None else ",".join(only)}
    for key, value in given.items():
        command += [] if value is None else [f"--{key}", value]
    for option in loading:
        command += ["--load", option]
    command += through.command()
    return record_of_samples(path, real, quality, len(seen), shlex.join(command))


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
