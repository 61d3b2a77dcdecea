"""``genus complete``: a trained model fills in what a mask hides."""

from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor

from genus.cli.options import Data, Device, Json, Loading, RunPath, Seed, View
from genus.cli.output import print_json, say
from genus.cli.sample import Number, out_path
from genus.data import Dataset
from genus.data.arrays import open_array
from genus.engine import checkpoint
from genus.engine.loop import resolve_device
from genus.model import Completes
from genus.recipes.pictures import grid, png, save_samples
from genus.recipes.runs import RunFolder, open_run
from genus.recipes.settings import parse_loading
from genus.spaces import Space

__all__ = ["MASKS", "command", "default_mask", "observed_under"]

Mask = Literal["left", "right", "top", "bottom", "centre", "random"]
MASKS: tuple[Mask, ...] = ("left", "right", "top", "bottom", "centre", "random")
GREY = 128

Out = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="FILE",
        help=".png, .npy or .npz; by default RUN/completed.png, or .npy for other than images.",
        help_behavior_hint="",
    ),
]


def command(
    run: RunPath,
    mask: Annotated[
        Mask | None,
        tyro.conf.arg(
            help="The part that is hidden: left for images and random for all else by default.",
            help_behavior_hint="",
        ),
    ] = None,
    n: Number = 16,
    data: Data = None,
    view: View = None,
    loading: Loading = (),
    input: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE.npy", help="An array to complete instead.", help_behavior_hint=""
        ),
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Completes data of which a part is hidden: what is seen stays as it is.

    A picture shows, from left to right in each row, the datum, what the model saw of it, and
    what it made of that.

    Args:
        run: folder of a run.
        mask: the part that is hidden.
        n: how many.
        data: whose test part is completed; the data of the run by default.
        view: of images.
        loading: options for the loader of --data.
        input: an array of data of the model's space.
        out: the file to write.
        seed: of the draws.
        device: where to draw.
        json: print what was written as JSON.
    """
    opened = open_run(run, device=str(resolve_device(device)))
    model = opened.model
    if not isinstance(model, Completes):
        raise ValueError(
            f"a {type(model).__name__} cannot complete; `genus list` shows which models can"
        )
    mask = mask or default_mask(model.space)
    options = parse_loading(loading)
    needed = input is None or data or options or _describes(opened)
    known = opened.data(data, view=view, loading=options) if needed else None
    x, labels = _inputs(opened, known, input, n)
    observed = observed_under(mask, model.space, len(x), seed)
    path = out_path(opened, known, out, "completed")
    filled = model.complete(x, observed, condition=labels, seed=seed).cpu()
    _save(path, x.cpu(), observed, filled, known)
    if json:
        print_json({"file": str(path), "num_examples": len(x), "mask": mask, "seed": seed})
    else:
        say(f"{len(x)} completions ({mask} hidden) in {path}")


def default_mask(space: Space) -> Mask:
    """The left half of images; of data without sides a random half."""
    return "left" if len(space.shape) == 3 else "random"


def observed_under(mask: Mask, space: Space, n: int, seed: int) -> Tensor:
    """Booleans of shape ``(n, *space.shape)``, false in the part that the mask names.

    Raises:
        ValueError: for sides of data that are no images.
    """
    observed = torch.ones(n, *space.shape, dtype=torch.bool)
    if mask == "random":
        generator = torch.Generator().manual_seed(seed)
        shape = (n, 1, *space.shape[1:]) if len(space.shape) == 3 else (n, *space.shape)
        return (torch.rand(shape, generator=generator) < 0.5).expand(observed.shape).clone()
    if len(space.shape) != 3:
        raise ValueError(f"the mask {mask!r} is for images; these data take --mask random")
    height, width = space.shape[1:]
    parts = {
        "left": (slice(None), slice(None, width // 2)),
        "right": (slice(None), slice(width // 2, None)),
        "top": (slice(None, height // 2), slice(None)),
        "bottom": (slice(height // 2, None), slice(None)),
        "centre": (
            slice(height // 4, height // 4 + max(1, height // 2)),
            slice(width // 4, width // 4 + max(1, width // 2)),
        ),
    }
    rows, columns = parts[mask]
    observed[:, :, rows, columns] = False
    return observed


def _describes(opened: RunFolder) -> bool:
    return opened.notes.get("data") is not None


def _inputs(
    opened: RunFolder, data: Dataset | None, file: str | None, n: int
) -> tuple[Tensor, Tensor | None]:
    """What to complete, and the labels that a conditional model needs."""
    if n < 1:
        raise ValueError(f"-n must be at least 1, got {n}")
    if file is not None:
        if opened.model.condition is not None:
            raise ValueError("--input has no labels, but the model is conditional; use --data")
        array = open_array(Path(file))
        return opened.model.space.check(array, str(file), like=opened.model.example)[:n], None
    assert data is not None
    x = data.materialise("test", n)
    labels = None if opened.model.condition is None else data.labels("test")
    return x, None if labels is None else labels[: len(x)]


def _save(path: Path, x: Tensor, observed: Tensor, filled: Tensor, data: Dataset | None) -> None:
    if path.suffix.lower() != ".png":
        save_samples(path, filled, data)
        return
    assert data is not None
    shown = [data.base.render(data.to_data(part)) for part in (x, filled)]
    original, completed = (part.cpu() for part in shown if part is not None)
    hidden = ~observed[:, 0]
    masked = original.clone()
    masked[hidden] = GREY
    triples = torch.stack([original, masked, completed], dim=1).flatten(0, 1)
    checkpoint.write_bytes(path, png(grid(triples, columns=12 if len(x) > 3 else 3)))
