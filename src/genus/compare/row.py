"""One line of the comparison as plain data: the shape that ``results.json`` promises."""

from typing import Any

from genus.compare.families import Family
from genus.data import Dataset
from genus.engine import Progress
from genus.evaluation import Figure, Report
from genus.evaluation.likelihood import describe_space
from genus.recipes.recipe import Recipe
from genus.recipes.results import hardware
from genus.recipes.runs import describe

__all__ = ["blank_row", "finished_row"]

ROW_NAMES = {"density": "density_of_samples"}
"""Figures whose name means something else in a row."""


def blank_row(name: str, family: Family, status: str, reason: str | None = None) -> dict[str, Any]:
    """A row without figures: of a family that failed, was interrupted or has not begun."""
    row: dict[str, Any] = {"model": family.title, "family": name, "recipe": family.recipe}
    row |= dict.fromkeys(
        (
            "density",
            "log_likelihood",
            "log_likelihood_sign",
            "bits_per_dim",
            "fid",
            "fid_floor",
            "samples_per_second",
            "examples_per_second",
            "parameters",
            "seconds",
        )
    )
    row["status"] = status
    if reason is not None:
        row["reason"] = reason
    return row


def finished_row(
    name: str,
    family: Family,
    recipe: Recipe,
    progress: Progress,
    report: Report,
    memory: int | None,
    precision: str | None = None,
) -> dict[str, Any]:
    """The row of a family that was trained and judged.

    Args:
        name: of the family.
        family: what the comparison knows of it.
        recipe: what was trained.
        progress: how far.
        report: what was measured.
        memory: that training took, in bytes.
        precision: that it was trained in; None where nobody says.
    """
    row = blank_row(name, family, "done")
    row |= {
        "class": type(recipe.model).__name__,
        "settings": {key: _plain(value) for key, value in recipe.settings.items()},
        "data": str(recipe.data.name),
        "space": describe_space(recipe.data),
        "density": report.density,
        "parameters": report.parameters,
        "seconds": round(progress.seconds, 2),
        "steps": progress.step,
        "epochs": round(progress.examples / recipe.data.train.num_examples, 2),
        "examples": progress.examples,
        "examples_per_second": _rounded(progress.examples / max(progress.seconds, 1e-9)),
        "memory": memory,
        "evaluation_seconds": round(sum(report.seconds.values()), 2),
        "evaluation_parts": report.seconds,
        "training_precision": precision,
        "device": recipe.model.example.device.type,
        "hardware": hardware(),
        "commit": describe(recipe, "")["commit"],
    }
    row |= _likelihood(report) | _quality(report, recipe.data) | _speed(report) | _abilities(report)
    return row


def _likelihood(report: Report) -> dict[str, Any]:
    found = report.likelihood
    if found is None:
        return {"log_likelihood_sign": "none"}
    row = {
        "log_likelihood": found.nats.value,
        "log_likelihood_sign": found.nats.sign,
        "log_likelihood_standard_error": found.nats.standard_error,
        "log_likelihood_examples": found.nats.num_examples,
        "likelihood_effort": found.effort,
        "bits_per_dim": found.bits_per_dim.value,
        "bits_per_dim_sign": found.bits_per_dim.sign,
        "note": found.nats.note,
    }
    for end, figure in zip(("lower", "upper"), found.bracket or (), strict=False):
        row[f"log_likelihood_{end}"] = figure.value
    if found.reverse is not None:
        row["log_likelihood_reverse"] = found.reverse.value
        row["log_likelihood_reverse_standard_error"] = found.reverse.standard_error
    return row


def _quality(report: Report, data: Dataset) -> dict[str, Any]:
    found = report.quality
    if found is None:
        return {}
    figures, floors = found.figures, found.floors
    row: dict[str, Any] = {
        "feature_network": found.feature_network,
        "feature_accuracy": found.feature_accuracy,
    }
    for name, figure in figures.items():
        key = ROW_NAMES.get(name, name)
        row |= {key: figure.value, f"{key}_floor": _value(floors.get(name))}
        if figure.interval is not None:
            row[f"{key}_interval"] = list(figure.interval)
    if "fid" in figures:
        row |= {
            "fid_standard_error": figures["fid"].standard_error,
            "fid_samples": figures["fid"].num_examples,
            "fid_note": figures["fid"].note,
        }
    if "modes" in figures and data.truth is not None:
        row["modes_known"] = data.truth.num_modes
    return row


def _speed(report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if report.sampler is not None and report.speed is not None:
        row |= {
            "sampler": report.sampler.name,
            "network_evaluations": report.sampler.evaluations,
            "samples_per_second": _rounded(report.speed.samples_per_second),
            "samples_batch_size": report.speed.batch_size,
        }
    if report.slow_sampler is not None and report.slow_speed is not None:
        row |= {
            "full_sampler": report.slow_sampler.name,
            "full_network_evaluations": report.slow_sampler.evaluations,
            "full_samples_per_second": _rounded(report.slow_speed.samples_per_second),
            "full_samples_batch_size": report.slow_speed.batch_size,
        }
    return row


def _abilities(report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {}
    pairs = {
        "reconstruction_error": (report.reconstruction, report.reconstruction_floor),
        "probe_accuracy": (report.probe, report.probe_floor),
    }
    for key, (figure, floor) in pairs.items():
        row |= {key: _value(figure), f"{key}_floor": _value(floor)}
    row["completion_error"] = row["completion_error_floor"] = None
    if report.completion is not None:
        floors = report.completion_floor or {}
        row["completion_error"] = _mean(report.completion)
        row["completion_error_floor"] = _mean(floors)
        row["completion"] = {
            mask: {
                "error": figure.value,
                "standard_error": figure.standard_error,
                "floor": _value(floors.get(mask)),
            }
            for mask, figure in report.completion.items()
        }
    return row


def _mean(figures: dict[str, Figure]) -> float | None:
    """The mean over the masks."""
    return sum(f.value for f in figures.values()) / len(figures) if figures else None


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _rounded(value: float) -> float:
    """Three digits: a speed is not known better."""
    return float(f"{value:.3g}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
