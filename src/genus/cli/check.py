"""``genus check``: the contract, run over a model class of anybody's."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import tyro

from genus.cli.options import Json
from genus.cli.output import console, print_json
from genus.model import Model
from genus.recipes.settings import nearest
from genus.testing import check_class

__all__ = ["command", "find_class"]

MARKS = {"pass": "[green]pass[/]", "fail": "[red]FAIL[/]", "skip": "[dim]skip[/]"}


def command(
    target: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="MODULE:CLASS", help="Such as my.package:Model or file.py:Model."),
    ],
    json: Json = False,
) -> int:
    """Runs the contract that every model keeps over a class of yours.

    Args:
        target: where the class is.
        json: print JSON and nothing else.
    """
    results = check_class(find_class(target))
    failed = sum(result.status == "fail" for result in results)
    if json:
        print_json({"target": target, "failed": failed, "checks": [_plain(r) for r in results]})
        return 1 if failed else 0
    page = console()
    for result in results:
        note = f"  {result.reason}" if result.reason else ""
        page.print(f"{MARKS[result.status]}  {result.check}", end="")
        page.print(note, markup=False, style="" if result.status == "fail" else "dim")
    passed = sum(result.status == "pass" for result in results)
    page.print(f"[bold]{passed} passed, {failed} failed[/]")
    return 1 if failed else 0


def find_class(target: str) -> type[Model]:
    """The class that ``module:Class`` or ``path/file.py:Class`` names.

    Raises:
        ValueError: where there is none.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ValueError(f"expected MODULE:CLASS such as my.package:Model, got {target!r}")
    path = Path(place)
    if path.suffix == ".py":
        if not path.exists():
            raise ValueError(f"there is no file {path}")
        sys.path.insert(0, str(path.resolve().parent))
        place = path.stem
    else:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"cannot import {place!r}: {error}") from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Model)):
        models = [
            n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Model)
        ]
        raise ValueError(f"{place} has no model class {name!r}{nearest(name, models)}")
    return found


def _plain(result: object) -> dict[str, object]:
    return dict(vars(result))
