"""``genus sample``: draws from a trained model."""

from pathlib import Path
from typing import Annotated

import torch
import tyro

from genus.cli.options import Device, Json, RunPath, Seed
from genus.cli.output import print_json, say
from genus.data import Dataset
from genus.engine.loop import resolve_device
from genus.model import Model
from genus.recipes.pictures import check_kind, save_samples
from genus.recipes.running import labels_for
from genus.recipes.runs import RunFolder, open_run

__all__ = ["check_target", "command", "condition_for", "out_path", "shown_data"]

Condition = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="LABELS",
        help="For a conditional model: one label, or several with commas; each in turn.",
        help_behavior_hint="",
    ),
]
Number = Annotated[int, tyro.conf.arg(name="num", aliases=("-n",), help="How many.")]
Out = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="FILE",
        help=".png, .npy or .npz; by default RUN/samples.png, or .npy for other than images.",
        help_behavior_hint="",
    ),
]


def command(
    run: RunPath,
    n: Number = 64,
    out: Out = None,
    seed: Seed = 0,
    condition: Condition = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Draws samples from a trained model, as a picture or as an array.

    Args:
        run: folder of a run.
        n: how many.
        out: the file to write.
        seed: of the draws.
        condition: labels.
        device: where to draw.
        json: print what was written as JSON.
    """
    opened = open_run(run, device=str(resolve_device(device)))
    data = shown_data(opened)
    path = out_path(opened, data, out, "samples")
    given = condition_for(opened.model, condition, n)
    drawn = opened.model.sample(n, condition=given, seed=seed)
    save_samples(path, drawn.cpu(), data)
    if json:
        print_json({"file": str(path), "num_samples": n, "seed": seed})
    else:
        say(f"{n} samples in {path}")


def shown_data(opened: RunFolder) -> Dataset | None:
    """The data that know how to show samples; None for a model saved without any."""
    return None if opened.notes.get("data") is None else opened.data()


def out_path(opened: RunFolder, data: Dataset | None, out: str | None, stem: str) -> Path:
    """Where to write, checked before any work is done."""
    picture = data is not None and data.kind == "image"
    path = opened.path / f"{stem}.{'png' if picture else 'npy'}" if out is None else Path(out)
    check_target(path, data)
    return path


def check_target(path: Path, data: Dataset | None, option: str = "--out") -> None:
    """Raises ValueError where samples could not be written to this path."""
    check_kind(path, data, option)
    if not path.parent.is_dir():
        raise ValueError(f"{option}: there is no folder {path.parent} to write {path.name} into")


def condition_for(model: Model, text: str | None, n: int) -> torch.Tensor | None:
    """The condition of n draws: what was asked for in turn, else each class in turn.

    Raises:
        ValueError: where the labels are no numbers of the model's condition.
    """
    if text is None:
        return labels_for(model, n)
    if model.condition is None:
        raise ValueError("this model is not conditional; drop --condition")
    try:
        labels = torch.tensor([int(part) for part in text.split(",")])
    except ValueError as error:
        raise ValueError(
            f"--condition takes label numbers such as 3 or 0,1,2; got {text!r}"
        ) from error
    return labels[torch.arange(n) % len(labels)]
