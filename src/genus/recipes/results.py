"""The record of an evaluated run: what ``results/RECIPE.json`` holds."""

import json
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genus.data import Dataset
from genus.engine import checkpoint
from genus.evaluation import Figure, Likelihood, Quality, Report
from genus.evaluation.error_rate import OVER_DRAWS
from genus.recipes.recipe import Published
from genus.recipes.registry import ENTRIES
from genus.recipes.runs import RunFolder, view_of

__all__ = [
    "baselines_of",
    "floors_of",
    "hardware",
    "metrics_of",
    "record_of_samples",
    "results_of",
    "write_results",
]

BINARISATION = {"binary": "dynamic", "static": "static"}


def metrics_of(report: Report) -> dict[str, Figure]:
    """Every figure of a report by the name that outsiders rely on."""
    found: dict[str, Figure | None] = {}
    if report.likelihood is not None:
        found["log_likelihood"] = _at_effort(report.likelihood)
        found["log_likelihood_reverse_ais"] = report.likelihood.reverse
        for end, figure in zip(("lower", "upper"), report.likelihood.bracket or (), strict=False):
            found[f"log_likelihood_{end}"] = figure
        found["bits_per_dim"] = report.likelihood.bits_per_dim
    for effort, figure in (report.curve or {}).items():
        note = f"the first {figure.num_examples} test data: compare within the curve"
        found[f"log_likelihood, effort {effort}"] = replace(figure, note=note)
    for depth, figure in (report.layers or {}).items():
        found[f"log_likelihood, {depth} layer{'s' if depth > 1 else ''}"] = figure
    if report.quality is not None:
        found |= report.quality.figures
        if "fid" in report.quality.floors:
            found["fid_floor"] = report.quality.floors["fid"]
    found["reconstruction_error"] = report.reconstruction
    for mask, figure in (report.completion or {}).items():
        found[f"completion_error, {mask}"] = figure
    for mask, figure in (report.held_out or {}).items():
        found[f"completion_log_likelihood, {mask}"] = figure
    found["error_rate"] = report.errors
    found[OVER_DRAWS] = report.errors_over_draws
    found["accuracy"] = report.probe
    found["neighbour_accuracy"] = report.neighbours
    if report.speed is not None:
        found["samples_per_second"] = Figure(report.speed.samples_per_second, "~")
    if report.sampler is not None:
        found["network_evaluations"] = Figure(float(report.sampler.evaluations), "=")
    if report.sampling_memory:
        found["sampling_memory"] = Figure(float(report.sampling_memory), "~", note="bytes")
    return {name: figure for name, figure in found.items() if figure is not None}


def _at_effort(found: Likelihood) -> Figure:
    """The figure, whose note says what was spent on it."""
    if found.effort is None:
        return found.nats
    spent = f"effort {found.effort:,}"
    if found.temperatures is not None:
        spent += f", {found.temperatures:,} temperatures"
    if found.chains is not None:
        spent += f" of {found.chains:,} chains"
    note = f"{found.nats.note}; {spent}" if found.nats.note else spent
    return replace(found.nats, note=note)


def floors_of(report: Report) -> dict[str, Figure]:
    """The figures of real data in the place of samples."""
    return {} if report.quality is None else dict(report.quality.floors)


def baselines_of(report: Report) -> dict[str, Figure]:
    """What an answer scores that ignores the question: a model should do better."""
    baselines: dict[str, Figure | None] = {
        "reconstruction_error": report.reconstruction_floor,
        "error_rate": report.errors_floor,
        OVER_DRAWS: report.errors_floor if report.errors_over_draws is not None else None,
        "accuracy": report.probe_floor,
        "neighbour_accuracy": report.neighbours_floor,
    }
    for mask, figure in (report.held_out_floor or {}).items():
        baselines[f"completion_log_likelihood, {mask}"] = figure
    for mask, figure in (report.completion_floor or {}).items():
        baselines[f"completion_error, {mask}"] = figure
    return {name: figure for name, figure in baselines.items() if figure is not None}


def results_of(
    opened: RunFolder, report: Report, command: str, data: Dataset | None = None
) -> dict[str, Any]:
    """The figures of a run with what is needed to judge and to repeat them.

    A published figure stands beside its like only: the same data, seen in the same view, and
    the same network where features are compared. One for the same data binarised otherwise is
    kept apart, under ``published_otherwise`` with its binarisation: it compares roughly.

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
    otherwise = {} if described.get("loading") else _otherwise(opened.recipe, name, view)
    metrics, floors, baselines = {}, floors_of(report), baselines_of(report)
    found, rate = metrics_of(report), _training_rate(opened)
    if rate is not None and report.speed is not None:
        found["examples_per_second"] = rate
    for metric, figure in found.items():
        metrics[metric] = _entry(figure)
        if metric in floors:
            metrics[metric]["floor"] = _entry(floors[metric])
        if metric in baselines:
            metrics[metric]["baseline"] = _entry(baselines[metric])
        if metric in published and not ("fid" in metric and figure.note):
            metrics[metric]["published"] = published[metric].value
            metrics[metric]["source"] = f"{published[metric].source} ({published[metric].data})"
        if metric in otherwise:
            metrics[metric]["published_otherwise"] = otherwise[metric]
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
    if view in BINARISATION:
        record["binarisation"] = BINARISATION[view]
    record |= {
        "model": type(opened.model).__name__,
        "parameters": report.parameters,
        "density": report.density,
    }
    if report.quality is not None:
        record["feature_network"] = report.quality.feature_network
        record["skipped"] = report.quality.skipped
        record["reference_examples"] = report.quality.num_reference
        record["class_histogram"] = report.quality.classes
    return record


def _training_rate(opened: RunFolder) -> Figure | None:
    """Examples a second over the whole run, as its log tells."""
    path = opened.path / "log.jsonl"
    try:
        last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        rate = last["examples"] / last["seconds"]
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return None
    return Figure(float(f"{rate:.4g}"), "~", note="while training, on the machine that trained")


def record_of_samples(
    path: str, data: Dataset, quality: Quality, num_samples: int, command: str
) -> dict[str, Any]:
    """The figures of samples that another program drew.

    Args:
        path: where they were read from.
        data: what they were judged beside, in the view that they were seen in.
        quality: what was measured.
        num_samples: how many were judged.
        command: how to measure it again.
    """
    metrics = {name: _entry(figure) for name, figure in quality.figures.items()}
    for name, figure in quality.floors.items():
        if name in metrics:
            metrics[name]["floor"] = _entry(figure)
    if "fid" in quality.floors:
        metrics["fid_floor"] = _entry(quality.floors["fid"])
    return {
        "samples": path,
        "num_samples": num_samples,
        "data": data.name,
        "view": view_of(data),
        "metrics": metrics,
        "feature_network": quality.feature_network,
        "skipped": quality.skipped,
        "reference_examples": quality.num_reference,
        "class_histogram": quality.classes,
        "hardware": hardware(),
        "command": command,
    }


def _entry(figure: Figure) -> dict[str, Any]:
    """A figure as a record holds it."""
    entry: dict[str, Any] = {
        "value": figure.value,
        "sign": figure.sign,
        "standard_error": figure.standard_error,
    }
    if figure.interval is not None:
        entry["interval"] = list(figure.interval)
    if figure.num_examples:
        entry["num_examples"] = figure.num_examples
    if figure.note:
        entry["note"] = figure.note
    return entry


def _published(
    recipe: str, name: str | None, view: str | None, report: Report
) -> dict[str, Published]:
    """The published figures that these data, this view and this feature network compare with."""
    entry = ENTRIES.get(recipe)
    network = None if report.quality is None else report.quality.feature_kind
    return {
        metric: figure
        for metric, figure in ({} if entry is None else entry.published).items()
        if (figure.data, figure.view) == (name, view) and figure.features in (None, network)
    }


def _otherwise(recipe: str, name: str | None, view: str | None) -> dict[str, dict[str, Any]]:
    """The figures published for these data, binarised in the other way than here."""
    entry = ENTRIES.get(recipe)
    return {
        metric: {
            "value": figure.value,
            "sign": figure.sign,
            "binarisation": BINARISATION[figure.view],
            "source": f"{figure.source} ({figure.data})",
        }
        for metric, figure in ({} if entry is None else entry.published).items()
        if figure.data == name and {figure.view, view} == set(BINARISATION) and figure.view
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
