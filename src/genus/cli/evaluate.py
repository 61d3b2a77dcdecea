"""``genus evaluate``: asks a trained model, or the samples of any program, all there is to ask."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from genus.cli.figures import show_record
from genus.cli.judging import PICTURE, Through, judge, judge_samples
from genus.cli.options import Data, Device, Json, Loading, Seed, View
from genus.cli.output import print_json, say
from genus.engine import checkpoint
from genus.engine.loop import resolve_device
from genus.evaluation import METRICS, PARTS, Effort, chosen_parts
from genus.evaluation.resizing import Resizing
from genus.recipes.results import write_results
from genus.recipes.runs import open_run

__all__ = ["command"]

FEWEST = 3

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
Temperatures = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="T",
        help="Temperatures behind a log Z that is annealed and not summed; the model's own by "
        "default, usually 1000.",
        help_behavior_hint="",
    ),
]
Chains = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="C",
        help="Chains that anneal the log Z of a DBN or DBM; the model's own by default, usually "
        "100.",
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
    temperatures: Temperatures = None,
    chains: Chains = None,
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
        temperatures: behind an annealed log Z.
        chains: behind an annealed log Z of layers.
        seconds: at most about this long for the likelihood, and again for the samples.
        seed: of all draws.
        device: where to compute.
        results: also write the figures to this folder.
        json: print the figures as JSON.
    """
    numbers = {"-n": n, "--draws": draws, "--effort": effort, "--temperatures": temperatures}
    numbers["--chains"] = chains
    _check(run, samples, {**numbers, "--seconds": seconds})
    if temperatures is not None and temperatures < FEWEST:
        raise ValueError(f"--temperatures must be at least {FEWEST}, got {temperatures}")
    if samples is not None and any((results, effort, temperatures, chains)):
        raise ValueError(
            "--results, --effort, --temperatures and --chains are for a run; with --samples use "
            "--json > FILE"
        )
    names = _names(only)
    place = str(resolve_device(device))
    through = Through(features, resizing, place, draws)
    if run is None:
        assert samples is not None
        record = judge_samples(samples, data, view, loading, names, through, seed)
    else:
        spend = Effort(
            likelihood_examples=n,
            likelihood_effort=effort,
            likelihood_seconds=seconds,
            sample_seconds=seconds,
            held_out_seconds=seconds / 2,
            parts=PARTS,
            metrics=None,
        )
        opened = open_run(run, device=place).annealed(temperatures, chains)
        record, _ = judge(opened, data, view, spend, seed, loading, only=names, seen=through)
        record["command"] += "" if temperatures is None else f" --temperatures {temperatures}"
        record["command"] += "" if chains is None else f" --chains {chains}"
        record["command"] += "" if device == "auto" else f" --device {device}"
        if data is None and view is None and only is None:
            checkpoint.write_json(opened.path / "evaluation.json", record)
        if results is not None:
            write_results(Path(results), record)
    _show(record, run, json=json)


def _check(run: str | None, samples: str | None, numbers: dict[str, float | None]) -> None:
    """A run or samples, and numbers that can be."""
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
    if (run is None) == (samples is None):
        raise ValueError("give the folder of a run, or --samples with --data; not both")


def _names(only: str | None) -> list[str] | None:
    """What --only names, each known; None for everything."""
    if only is None:
        return None
    names = [name.strip() for name in only.split(",") if name.strip()]
    if not names:
        raise ValueError(f"--only names nothing; measured can be {', '.join((*PARTS, *METRICS))}")
    chosen_parts(names)
    return names


def _show(record: dict[str, Any], run: str | None, *, json: bool) -> None:
    if json:
        print_json(record)
        return
    show_record(record)
    if run is not None and (Path(run) / PICTURE).exists() and record.get("feature_network"):
        say(f"samples most like training data, above the latter: {Path(run) / PICTURE}")
