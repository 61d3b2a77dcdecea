"""``genus list``: the family tree, drawn from the types of the models themselves."""

import inspect
from dataclasses import asdict
from typing import Any

from rich.tree import Tree

from genus import model as taxonomy
from genus.cli.options import Json
from genus.cli.output import console, print_json
from genus.model import AnnealedBound, Density, Energy, Exact, LowerBound, Model
from genus.models import registry
from genus.recipes import ENTRIES, settings_of
from genus.recipes.recipe import Entry
from genus.recipes.settings import type_name

__all__ = ["command"]

KINDS = {
    "explicit, tractable": "log p(x) is computed",
    "explicit, approximate": "log p(x) is bounded or estimated",
    "implicit": "draws samples, gives no density",
}
ANSWERS = {
    "Density": "log_prob",
    "Energy": "free_energy",
    "Encodes": "encode",
    "Latent": "decode",
    "Completes": "complete",
    "Continues": "continue_",
}


def command(json: Json = False) -> None:
    """Draws the family tree: explicit tractable, explicit approximate, implicit.

    Args:
        json: print JSON and nothing else.
    """
    members = [_describe(registry.find(name)) for name in registry.CLASSES]
    if json:
        print_json({"models": members})
        return
    tree = Tree("[bold]generative models[/]")
    for kind, meaning in KINDS.items():
        branch = tree.add(f"[bold]{kind}[/]  [dim]{meaning}[/]")
        for member in (m for m in members if m["kind"] == kind):
            density = "" if member["density"] == "none" else f"  log p {member['sign']}"
            node = branch.add(
                f"[bold cyan]{member['model']}[/]{density}  [dim]{', '.join(member['answers'])}[/]"
            )
            for recipe in member["recipes"]:
                node.add(
                    f"[green]{recipe['name']}[/]  {recipe['summary']}  [dim]{recipe['source']}[/]"
                )
    console().print(tree)
    console().print("\n[dim]genus train RECIPE; settings: genus list --json[/]")


def _describe(cls: type[Model]) -> dict[str, Any]:
    density, sign = _density(cls)
    return {
        "model": cls.__name__,
        "summary": (inspect.getdoc(cls) or "").split("\n")[0],
        "kind": _kind(cls),
        "density": density,
        "sign": sign,
        "answers": ["sample", *(a for n, a in ANSWERS.items() if issubclass(cls, _type(n)))],
        "recipes": [_recipe(entry) for entry in ENTRIES.values() if entry.model == cls.__name__],
    }


def _type(name: str) -> type[Model]:
    found: type[Model] = getattr(taxonomy, name)
    return found


def _kind(cls: type[Model]) -> str:
    if issubclass(cls, Exact):
        return "explicit, tractable"
    return "explicit, approximate" if issubclass(cls, Density | Energy) else "implicit"


def _density(cls: type[Model]) -> tuple[str, str]:
    if issubclass(cls, Exact):
        return "exact", "="
    if issubclass(cls, AnnealedBound):
        return "lower bound", "≥ or ≈"
    if issubclass(cls, LowerBound):
        return "lower bound", "≥"
    return ("estimate", "≈") if issubclass(cls, Density) else ("none", "")


def _recipe(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "family": entry.family,
        "summary": entry.summary,
        "data": entry.data,
        "view": entry.view,
        "source": entry.source,
        "settings": {
            name: {"type": type_name(parameter.annotation), "default": parameter.default}
            for name, parameter in settings_of(entry).items()
        },
        "published": {metric: asdict(figure) for metric, figure in entry.published.items()},
    }
