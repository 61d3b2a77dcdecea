"""Options that several commands share: their types, names and help."""

from typing import Annotated

import tyro

__all__ = ["Data", "Device", "Folder", "Json", "Loading", "RunPath", "Seed", "View"]

Data = Annotated[
    str | None,
    tyro.conf.arg(metavar="NAME|PATH", help="Data set or path.", help_behavior_hint=""),
]
View = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="VIEW",
        help="How images are seen: binary, static or pixels.",
        help_behavior_hint="",
    ),
]
Folder = Annotated[
    str | None, tyro.conf.arg(metavar="DIR", help="Where to write.", help_behavior_hint="")
]
Loading = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        name="load",
        metavar="KEY=VALUE",
        help="How to load your own data, such as resize=32; may be repeated.",
        help_behavior_hint="",
    ),
]
RunPath = Annotated[
    str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Folder of a run.")
]
Seed = Annotated[int, tyro.conf.arg(help="Of everything random.")]
Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda, cuda:1, ...")]
Json = Annotated[bool, tyro.conf.arg(help="Print JSON and nothing else.")]
