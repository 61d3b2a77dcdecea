"""``genus compare``: every family on one data set under one budget: the honest table."""

import sys
from typing import Annotated, Literal

import tyro
from rich.console import Console

from genus.cli.options import Device, Json, Loading, Seed, View
from genus.cli.output import print_json

__all__ = ["command"]

ALL = "ppca,rbm,made,pixelcnn,vae,gan,diffusion"


def command(
    data: Annotated[str, tyro.conf.arg(metavar="NAME|PATH", help="Data set or path.")] = "mnist",
    models: Annotated[
        str,
        tyro.conf.arg(
            metavar="A,B,...", help="Families, in order of the table; also dbn, dbm, sbn."
        ),
    ] = ALL,
    budget: Annotated[
        str, tyro.conf.arg(help="Of each family: 60s, 5m, 1000steps, 3epochs, 60000examples.")
    ] = "60s",
    view: View = None,
    loading: Loading = (),
    out: Annotated[str, tyro.conf.arg(metavar="DIR", help="Folder of the report.")] = "report",
    seed: Seed = 0,
    device: Device = "auto",
    precision: Literal["auto", "float32", "bf16"] = "auto",
    json: Json = False,
) -> int:
    """Trains several families on one data set, each under the same budget, and compares them.

    Prints the table as it grows and writes DIR/index.html and DIR/results.json. Stopped in any
    way, the same command goes on where it was.

    Args:
        data: name of a data set, or path of your own data.
        models: the families.
        budget: of each family.
        view: of images.
        loading: options for the loader of your own data.
        out: folder of the report.
        seed: of everything random.
        device: where to train.
        precision: of matrix products; auto is bf16 where the hardware is made for it.
        json: print the rows as JSON; the table then goes to standard error.
    """
    from genus.compare import compare
    from genus.recipes.settings import parse_loading

    done = compare(
        data,
        models,
        budget=budget,
        view=view,
        loading=parse_loading(loading),
        out=out,
        seed=seed,
        device=device,
        precision=precision,
        console=Console(file=sys.stderr if json else sys.stdout),
    )
    if json:
        print_json(done.rows)
    return 0 if all(row["status"] == "done" for row in done.rows) else 1
