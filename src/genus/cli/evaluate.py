"""``genus evaluate``: asks a trained model everything that its type can answer."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from genus.cli.options import Data, Device, Json, RunPath, Seed, View
from genus.cli.output import console, print_json, print_table, progress_console
from genus.data import Dataset
from genus.engine import checkpoint
from genus.engine.loop import resolve_device
from genus.evaluation import Effort, Figure, Reference, Report, choose_features, evaluate
from genus.recipes.results import metrics_of, results_of, write_results
from genus.recipes.runs import RunFolder, open_run
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
Results = Annotated[
    str | None,
    tyro.conf.arg(metavar="DIR", help="Also write DIR/RECIPE.json.", help_behavior_hint=""),
]


def command(
    run: RunPath,
    data: Data = None,
    view: View = None,
    n: Number = 2000,
    effort: EffortOption = None,
    seconds: float = 60.0,
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
        n: test examples for the likelihood.
        effort: behind a bound or an estimate.
        seconds: at most about this long for the likelihood, and again for the samples.
        seed: of all draws.
        device: where to compute.
        results: also write the figures to this folder.
        json: print the figures as JSON.
    """
    if n < 1 or not seconds > 0 or (effort is not None and effort < 1):
        raise ValueError(f"-n, --effort and --seconds must be positive: {n}, {effort}, {seconds}")
    opened = open_run(run, device=str(resolve_device(device)))
    spend = Effort(
        likelihood_examples=n,
        likelihood_effort=effort,
        likelihood_seconds=seconds,
        sample_seconds=seconds,
    )
    record, report = judge(opened, data, view, spend, seed)
    if data is None and view is None:
        checkpoint.write_json(opened.path / "evaluation.json", record)
    if results is not None:
        write_results(Path(results), record)
    if json:
        print_json(record)
        return
    _show(opened, record, report)


def judge(
    opened: RunFolder, data: str | None, view: str | None, spend: Effort, seed: int
) -> tuple[dict[str, Any], Report]:
    """The record and the report of a run."""
    chosen = opened.data(data, view=view)
    progress_console().print(f"evaluating {opened.path} on {chosen.name} ...", style="dim")
    features = choose_features(_finest(chosen), seed=seed, folder=opened.path)
    reference = None if features is None else Reference(chosen, features)
    report = evaluate(opened.model, chosen, effort=spend, reference=reference, seed=seed)
    command = f"genus evaluate {opened.path} -n {spend.likelihood_examples} --seed {seed}"
    for key, value in (("data", data), ("view", view)):
        command += "" if value is None else f" --{key} {value}"
    return results_of(opened, report, command, chosen), report


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
