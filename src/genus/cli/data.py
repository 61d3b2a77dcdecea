"""``genus data``: the data sets, or one of them in detail."""

from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from genus import data as datasets
from genus.cli.options import Json, Loading, View
from genus.cli.output import console, count, print_json, print_table, say
from genus.cli.sample import check_target
from genus.data import Dataset
from genus.recipes.pictures import save_samples
from genus.recipes.settings import parse_loading

__all__ = ["command"]

MOST_CLASSES = 12
SHOWN = 64


def command(
    name: Annotated[
        str | None,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="NAME|PATH", help="One data set.", help_behavior_hint=""),
    ] = None,
    view: View = None,
    loading: Loading = (),
    picture: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE.png", help="Also write a picture of it.", help_behavior_hint=""
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Lists the data sets, or describes one of them, or your own by path.

    Args:
        name: of a set, or a path.
        view: of images.
        loading: options for the loader of your own data.
        picture: a file to write.
        json: print JSON and nothing else.
    """
    if name is None:
        if picture is not None:
            raise ValueError("--picture needs the NAME or PATH of a data set")
        _list(json)
        return
    dataset = datasets.load(name, view=view, **parse_loading(loading))  # type: ignore[arg-type]
    if picture is not None:
        check_target(Path(picture), dataset, "--picture")
    described = _describe(dataset)
    if picture is not None:
        save_samples(Path(picture), dataset.materialise("test", SHOWN), dataset)
    if json:
        print_json(described)
        return
    _show(described)
    if picture is not None:
        say(f"picture      {picture}")


def _list(json: bool) -> None:
    found = datasets.names()
    if json:
        print_json({"data": [{"name": name, **entry} for name, entry in found.items()]})
        return
    rows = [
        (name, entry["summary"], "" if entry["available"] else "needs a download")
        for name, entry in found.items()
    ]
    print_table(("name", "what it is", ""), rows)
    say("\nYour own: a folder of images or WAV files, .npy, .npz, .csv, .txt; genus data PATH")


def _describe(dataset: Dataset) -> dict[str, Any]:
    labels = dataset.labels("train")
    counts: list[int] = []
    if labels is not None and dataset.num_classes:
        counts = torch.bincount(labels, minlength=dataset.num_classes).tolist()
    return {**dataset.describe(), "training_examples_per_class": counts}


def _show(described: dict[str, Any]) -> None:
    examples = ", ".join(f"{count(n)} {part}" for part, n in described["examples"].items())
    lines = {
        "kind": described["kind"],
        "examples": examples,
        "space": described["space"],
        "labels": _classes(described),
        "memory": f"{described['megabytes']} MB, "
        + ("in memory" if described["in_memory"] else "read as needed"),
        "split": described["split"],
        "origin": described["origin"],
        "licence": described["licence"],
    }
    page = console()
    page.print(f"[bold]{described['name']}[/]")
    for key, value in lines.items():
        page.print(f"{key:<12} {value}", markup=False)


def _classes(described: dict[str, Any]) -> str:
    names, counts = described["classes"], described["training_examples_per_class"]
    if not names:
        return "none"
    parts = [f"{name} ({count(n)})" for name, n in zip(names, counts, strict=False)]
    more = f", and {len(parts) - MOST_CLASSES} more" if len(parts) > MOST_CLASSES else ""
    return ", ".join(parts[:MOST_CLASSES]) + more
