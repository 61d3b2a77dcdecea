"""The record of an evaluated run: what ``results/RECIPE.json`` holds."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from genus.data import Dataset
from genus.engine import checkpoint
from genus.evaluation import Figure, Report
from genus.recipes.recipe import Published
from genus.recipes.registry import ENTRIES
from genus.recipes.runs import RunFolder, view_of

__all__ = ["hardware", "metrics_of", "results_of", "write_results"]


def metrics_of(report: Report) -> dict[str, Figure]:
    """Every figure of a report by the name that outsiders rely on."""
    found: dict[str, Figure | None] = {}
    if report.likelihood is not None:
        found["log_likelihood"] = report.likelihood.nats
        found["log_likelihood_reverse_ais"] = report.likelihood.reverse
        found["bits_per_dim"] = report.likelihood.bits_per_dim
    if report.quality is not None:
        quality = report.quality
        found["fid"], found["fid_floor"] = quality.fid, quality.fid_floor
        for name in ("precision", "recall", "density", "coverage"):
            found[name] = Figure(getattr(quality.manifold, name), "~")
        if quality.energy_distance is not None:
            found["energy_distance"] = Figure(quality.energy_distance, "~")
    found["reconstruction_error"] = report.reconstruction
    for mask, figure in (report.completion or {}).items():
        found[f"completion_error, {mask}"] = figure
    found["accuracy"] = report.probe
    if report.speed is not None:
        found["samples_per_second"] = Figure(report.speed.samples_per_second, "~")
    if report.sampler is not None:
        found["network_evaluations"] = Figure(float(report.sampler.evaluations), "=")
    return {name: figure for name, figure in found.items() if figure is not None}


def results_of(
    opened: RunFolder, report: Report, command: str, data: Dataset | None = None
) -> dict[str, Any]:
    """The figures of a run with what is needed to judge and to repeat them.

    A published figure stands beside its like only: the same data, seen in the same view, and
    the same network where features are compared.

    Args:
        opened: the run.
        report: what was measured.
        command: how to measure it again.
        data: what it was measured on; the data of the run by default.
    """
    described = opened.notes.get("data") or {}
    name, view = described.get("name"), described.get("view")
    if data is not None:
        name, view = data.name, view_of(data)
    published = {} if described.get("loading") else _published(opened.recipe, name, view, report)
    metrics: dict[str, Any] = {}
    for metric, figure in metrics_of(report).items():
        metrics[metric] = {
            "value": figure.value,
            "sign": figure.sign,
            "standard_error": figure.standard_error,
        }
        if figure.num_examples:
            metrics[metric]["num_examples"] = figure.num_examples
        if figure.note:
            metrics[metric]["note"] = figure.note
        if metric in published:
            metrics[metric]["published"] = published[metric].value
            metrics[metric]["source"] = f"{published[metric].source} ({published[metric].data})"
    record = {
        "recipe": opened.recipe,
        "data": name,
        "metrics": metrics,
        "seeds": [opened.notes.get("seed")],
        "commit": opened.notes.get("commit"),
        "hardware": hardware(),
        "seconds": (opened.notes.get("reached") or {}).get("seconds"),
        "command": command,
    }
    if view in ("binary", "static"):
        record["binarisation"] = "dynamic" if view == "binary" else "static"
    if report.quality is not None:
        record["feature_network"] = report.quality.feature_network
    return record


def _published(
    recipe: str, name: str | None, view: str | None, report: Report
) -> dict[str, Published]:
    """The published figures that these data, this view and this feature network compare with."""
    entry = ENTRIES.get(recipe)
    network = None if report.quality is None else report.quality.feature_network
    return {
        metric: figure
        for metric, figure in ({} if entry is None else entry.published).items()
        if (figure.data, figure.view) == (name, view) and figure.features in (None, network)
    }


def write_results(folder: Path, record: dict[str, Any]) -> Path:
    """Writes ``RECIPE.json`` into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['recipe']}.json"
    checkpoint.write_json(path, record)
    return path


def hardware() -> str:
    """What this machine computes with, in a few words."""
    threads = torch.get_num_threads()
    found = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{threads} thread{'' if threads == 1 else 's'}, torch {torch.__version__}"
    )
    return f"{torch.cuda.get_device_name()}, {found}" if torch.cuda.is_available() else found
