"""``genus evaluate``: asks a trained model everything that its type can answer."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import tyro

from genus.cli.options import Data, Device, Json, Loading, RunPath, Seed, View
from genus.cli.output import console, print_json, print_table, progress_console
from genus.data import Dataset
from genus.engine import checkpoint
from genus.engine.loop import resolve_device
from genus.evaluation import Effort, Figure, Reference, Report, choose_features, evaluate
from genus.recipes.results import metrics_of, results_of, write_results
from genus.recipes.runs import RunFolder, open_run
from genus.recipes.settings import parse_loading
from genus.spaces import Pixels

__all__ = ["command", "judge"]

Number = Annotated[
    int, tyro.conf.arg(name="num", aliases=("-n",), help="Test examples for the likelihood.")
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
    run: RunPath,
    data: Data = None,
    view: View = None,
    loading: Loading = (),
    n: Number = 2000,
    effort: EffortOption = None,
    seconds: Seconds = 60.0,
    seed: Seed = 0,
    device: Device = "auto",
    results: Results = None,
    json: Json = False,
) -> None:
    """Measures a trained model on test data: likelihood, samples, reconstruction, completion.

    The figures are kept in RUN/evaluation.json, for the card of a shared model.

    Args:
        run: folder of a run.
        data: other data of the same space.
        view: of images.
        loading: options for the loader of --data.
        n: test examples for the likelihood.
        effort: behind a bound or an estimate.
        seconds: at most about this long for the likelihood, and again for the samples.
        seed: of all draws.
        device: where to compute.
        results: also write the figures to this folder.
        json: print the figures as JSON.
    """
    for name, number in (("-n", n), ("--effort", effort), ("--seconds", seconds)):
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
    opened = open_run(run, device=str(resolve_device(device)))
    spend = Effort(
        likelihood_examples=n,
        likelihood_effort=effort,
        likelihood_seconds=seconds,
        sample_seconds=seconds,
    )
    record, report = judge(opened, data, view, spend, seed, loading)
    record["command"] += "" if device == "auto" else f" --device {device}"
    if data is None and view is None:
        checkpoint.write_json(opened.path / "evaluation.json", record)
    if results is not None:
        write_results(Path(results), record)
    if json:
        print_json(record)
        return
    _show(opened, record, report)


def judge(
    opened: RunFolder,
    data: str | None,
    view: str | None,
    spend: Effort,
    seed: int,
    loading: tuple[str, ...] = (),
) -> tuple[dict[str, Any], Report]:
    """The record and the report of a run."""
    chosen = opened.data(data, view=view, loading=parse_loading(loading))
    progress_console().print(f"evaluating {opened.path} on {chosen.name} ...", style="dim")
    features = choose_features(_finest(chosen), seed=seed, folder=opened.path)
    reference = None if features is None else Reference(chosen, features)
    report = evaluate(opened.model, chosen, effort=spend, reference=reference, seed=seed)
    command = ["genus", "evaluate", str(opened.path), "-n", str(spend.likelihood_examples)]
    command += ["--seconds", f"{spend.likelihood_seconds:g}", "--seed", str(seed)]
    given = {"effort": spend.likelihood_effort, "data": data, "view": view}
    for key, value in given.items():
        command += [] if value is None else [f"--{key}", str(value)]
    for option in loading:
        command += ["--load", option]
    return results_of(opened, report, shlex.join(command), chosen), report


def _finest(data: Dataset) -> Dataset:
    """Images with all their levels, so that one feature network serves every view."""
    return data.viewed("pixels") if isinstance(data.stored_space, Pixels) else data.base


def _show(opened: RunFolder, record: dict[str, Any], report: Report) -> None:
    page = console()
    page.print(
        f"[bold]{opened.recipe}[/] on {record['data']}: {type(opened.model).__name__}, "
        f"{report.parameters:,} parameters, density {report.density}"
    )
    floors = _floors(report)
    rows = []
    for name, figure in metrics_of(report).items():
        if name == "fid_floor":
            continue
        known = record["metrics"][name]
        published = f"{known['published']:g}  {known['source']}" if "published" in known else ""
        rows.append((name, str(figure), floors.get(name, ""), published))
    print_table(("figure", "value", "real data or floor", "published"), rows)


def _floors(report: Report) -> dict[str, str]:
    """What each figure is to be compared with."""
    floors: dict[str, Figure | None] = {
        "reconstruction_error": report.reconstruction_floor,
        "accuracy": report.probe_floor,
    }
    for mask, figure in (report.completion_floor or {}).items():
        floors[f"completion_error, {mask}"] = figure
    if report.quality is not None:
        floors["fid"] = report.quality.fid_floor
        for name in ("precision", "recall", "density", "coverage"):
            floors[name] = Figure(getattr(report.quality.manifold_floor, name), "~")
    return {name: str(figure) for name, figure in floors.items() if figure is not None}
