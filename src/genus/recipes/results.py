"""The record of an evaluated run: what ``results/RECIPE.json`` holds."""

import platform
from pathlib import Path
from typing import Any

import torch

from genus.engine import checkpoint
from genus.evaluation import Figure, Report
from genus.recipes.registry import ENTRIES
from genus.recipes.runs import RunFolder

__all__ = ["hardware", "metrics_of", "results_of", "write_results"]


def metrics_of(report: Report) -> dict[str, Figure]:
    """Every figure of a report by the name that outsiders rely on."""
    found: dict[str, Figure | None] = {}
    if report.likelihood is not None:
        found["log_likelihood"] = report.likelihood.nats
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


def results_of(opened: RunFolder, report: Report, command: str) -> dict[str, Any]:
    """The figures of a run with what is needed to judge and to repeat them."""
    entry = ENTRIES.get(opened.recipe)
    metrics: dict[str, Any] = {}
    for name, figure in metrics_of(report).items():
        metrics[name] = {
            "value": figure.value,
            "sign": figure.sign,
            "standard_error": figure.standard_error,
        }
        if figure.note:
            metrics[name]["note"] = figure.note
        published = None if entry is None else entry.published.get(name)
        if published is not None:
            metrics[name]["published"] = published.value
            metrics[name]["source"] = f"{published.source} ({published.data})"
    described = opened.notes.get("data") or {}
    record = {
        "recipe": opened.recipe,
        "data": described.get("name"),
        "metrics": metrics,
        "seeds": [opened.notes.get("seed")],
        "commit": opened.notes.get("commit"),
        "hardware": hardware(),
        "seconds": (opened.notes.get("reached") or {}).get("seconds"),
        "command": command,
    }
    view = described.get("view")
    if view in ("binary", "static"):
        record["binarisation"] = "dynamic" if view == "binary" else "static"
    if report.quality is not None:
        record["feature_network"] = report.quality.feature_network
    return record


def write_results(folder: Path, record: dict[str, Any]) -> Path:
    """Writes ``RECIPE.json`` into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['recipe']}.json"
    checkpoint.write_json(path, record)
    return path


def hardware() -> str:
    """What this machine computes with, in a few words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
