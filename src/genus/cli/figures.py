"""How a record of figures is shown: each beside its floor and what others published."""

from typing import Any

from genus.cli.output import console, print_table
from genus.evaluation.figure import SYMBOLS

__all__ = ["show_record"]

MOST_CLASSES = 20
TITLES = {
    "log_likelihood": "log-likelihood, nats",
    "bits_per_dim": "bits per dimension",
    "accuracy": "linear probe, accuracy",
}


def show_record(record: dict[str, Any]) -> None:
    """The table of a run's or of samples' figures, and what a reader must know beside it."""
    page = console()
    page.print(_heading(record), highlight=False, markup=False, style="bold")
    rows = []
    for name, entry in record["metrics"].items():
        if name == "fid_floor":
            continue
        floor, baseline = entry.get("floor"), entry.get("baseline")
        published = f"{entry['published']:g}  {entry['source']}" if "published" in entry else ""
        rows.append(
            (
                TITLES.get(name, name.replace("_", " ")),
                _value(entry),
                _interval(entry),
                "" if floor is None else _value(floor),
                "" if baseline is None else _value(baseline),
                published,
            )
        )
    headings = ("figure", "value", "95 % interval", "floor: real data", "baseline", "published")
    with_any = [i for i in range(len(headings)) if i < 2 or any(row[i] for row in rows)]
    print_table([headings[i] for i in with_any], [[row[i] for i in with_any] for row in rows])
    if record.get("density") == "none":
        page.print("log-likelihood: none, this model has no density", style="dim")
    if record.get("feature_network"):
        page.print(f"features: {record['feature_network']}", style="dim", markup=False)
    counts = record.get("class_histogram")
    if counts is not None and len(counts["real"]) <= MOST_CLASSES:
        for name, numbers in counts.items():
            shares = "  ".join(f"{100 * number / sum(numbers):4.1f}" for number in numbers)
            page.print(f"classes, % of {name:<8} {shares}", style="dim", markup=False)
    for line in _notes(record):
        page.print(line, style="dim", markup=False, soft_wrap=True)


def _heading(record: dict[str, Any]) -> str:
    if "samples" in record:
        return f"{record['num_samples']:,} samples of {record['samples']} beside {record['data']}"
    parts = [f"{record['recipe']} on {record['data']}"]
    if record.get("model"):
        parts.append(f"{record['model']}, {record['parameters']:,} parameters")
    return ": ".join(parts)


def _value(entry: dict[str, Any]) -> str:
    error = entry.get("standard_error")
    spread = "" if error is None else f" ± {error:.2g}"
    value = entry["value"]
    return f"{SYMBOLS[entry['sign']]} {value:.5g}{spread}" if value is not None else "–"


def _interval(entry: dict[str, Any]) -> str:
    ends = entry.get("interval")
    return "" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}"


def _notes(record: dict[str, Any]) -> list[str]:
    """Each note once, with the figures that it is about, and what was skipped."""
    about: dict[str, list[str]] = {}
    for name, entry in record["metrics"].items():
        floor = entry.get("floor", {}).get("note", "")
        for note in (
            entry.get("note"),
            floor[floor.find("floor of") :] if "floor of" in floor else "",
        ):
            if note:
                about.setdefault(note, []).append(name)
    lines = [f"{_listed(names)}: {note}" for note, names in about.items()]
    skipped = [f"{name} ({reason})" for name, reason in record.get("skipped", {}).items()]
    return lines + ([f"not measured: {', '.join(skipped)}"] if skipped else [])


def _listed(names: list[str]) -> str:
    """The names; of figures that differ in one word, such as a mask, that word alone."""
    first = names[0].split(", ")[0]
    if len(names) > 1 and all(name.startswith(f"{first}, ") for name in names):
        return f"{first} ({', '.join(name.split(', ')[1] for name in names)})"
    return ", ".join(names)
