"""Sharing trained models: a folder on this machine, or a repository of the Hugging Face Hub.

What is shared is ``config.json``, ``model.safetensors`` and a model card; no pickle, and
nothing that only a resume needs. The hub is named ``hf://owner/name``; all other places are
folders and work offline.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from genus.engine import checkpoint
from genus.model import Density, Encodes, Exact, LowerBound, Model
from genus.models import registry
from genus.version import __version__

__all__ = ["HUB", "load", "model_card", "pull", "push"]

HUB = "hf://"
FILES = ("config.json", "model.safetensors")


def load(
    place: str | Path, *, cls: type[Model] | None = None, device: str | torch.device = "cpu"
) -> Model:
    """A trained model from a folder or from the hub.

    Args:
        place: a folder with ``config.json`` and ``model.safetensors``, or ``hf://owner/name``.
        cls: the class, for one that is not of this package.
        device: where to put it.

    Raises:
        ValueError: where there is none, or it is damaged.
    """
    if str(place).startswith(HUB):
        return pull(place, cls=cls, device=device)
    return registry.load(place, cls=cls, device=device)


def push(
    model: Model | str | Path,
    place: str | Path,
    *,
    private: bool = False,
    message: str = "Add a model trained with genus",
) -> str:
    """Shares a model with its card.

    Args:
        model: a model, or the folder of a run.
        place: ``hf://owner/name``, or a folder.
        private: whether a new repository can be seen by its owner alone.
        message: of the commit on the hub.

    Returns:
        Where it is now: an address or a folder.

    Raises:
        ValueError: where ``model`` is a folder that holds none.
    """
    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(temporary)
        _stage(model, staged)
        if not str(place).startswith(HUB):
            target = Path(place)
            target.mkdir(parents=True, exist_ok=True)
            for file in staged.iterdir():
                checkpoint.write_bytes(target / file.name, file.read_bytes())
            return str(target)
        from huggingface_hub import HfApi

        api, repository = HfApi(library_name="genus", library_version=__version__), _name(place)
        api.create_repo(repository, private=private, exist_ok=True)
        sent = api.upload_folder(
            repo_id=repository, folder_path=str(staged), commit_message=message
        )
        return str(sent)


def pull(
    place: str | Path,
    *,
    revision: str | None = None,
    cls: type[Model] | None = None,
    device: str | torch.device = "cpu",
) -> Model:
    """A model that :func:`push` shared.

    Args:
        place: ``hf://owner/name``, or a folder.
        revision: commit, tag or branch on the hub.
        cls: the class, for one that is not of this package.
        device: where to put it.

    Raises:
        ValueError: where there is none, it cannot be reached, or it is damaged.
    """
    if not str(place).startswith(HUB):
        return registry.load(place, cls=cls, device=device)
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            _name(place), revision=revision, allow_patterns=list(FILES), library_name="genus"
        )
    except (OSError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"cannot fetch {place}: {first}") from error
    return registry.load(folder, cls=cls, device=device)


def model_card(model: Model, notes: dict[str, Any], figures: dict[str, Any] | None = None) -> str:
    """The README of a shared model: what it is, how to use it, and what was measured.

    Args:
        model: the model.
        notes: what its ``config.json`` says.
        figures: a record in the shape of ``results/RECIPE.json``, or None.
    """
    name = type(model).__name__
    data = (notes.get("data") or {}).get("name", "data that it does not name")
    count = sum(p.numel() for p in model.parameters())
    lines = [
        "---",
        "library_name: genus",
        f"tags: [genus, generative, {name.lower()}]",
        "---",
        "",
        f"# {notes.get('recipe', name)}",
        "",
        f"A `{name}` over `{model.space}`, trained on {data} with genus {__version__}; "
        f"{count:,} parameters.",
        "",
        "```python",
        "import genus",
        "",
        'model = genus.load("hf://OWNER/NAME")',
        f"samples = model.sample(64{_conditional(model)}, seed=0)",
    ]
    if isinstance(model, Density):
        lines.append(f"log_probs = model.log_prob(samples)  # nats, {_density(model)}")
    if isinstance(model, Encodes):
        lines.append("codes = model.encode(samples)")
    lines += ["```", "", *_figure_lines(figures)]
    if notes.get("settings"):
        lines += ["Settings: `" + json.dumps(notes["settings"], sort_keys=True) + "`", ""]
    return "\n".join(lines)


def _figure_lines(record: dict[str, Any] | None) -> list[str]:
    if not record or not record.get("metrics"):
        return ["No figures were measured.", ""]
    lines = ["| figure | | value | standard error |", "|---|---|---|---|"]
    for metric, found in record["metrics"].items():
        error = found.get("standard_error")
        spread = "" if error is None else f"{error:.2g}"
        lines.append(f"| {metric} | {found['sign']} | {found['value']:.5g} | {spread} |")
    return [*lines, ""]


def _stage(model: Model | str | Path, folder: Path) -> None:
    """Writes what is to be shared; a path of this machine is reduced to its last part."""
    if isinstance(model, Model):
        model.save(folder)
        notes, figures, loaded = checkpoint.read_json(folder / "config.json"), None, model
    else:
        source = Path(model)
        loaded = registry.load(source)
        notes = checkpoint.read_json(source / "config.json")
        kept = source / "evaluation.json"
        figures = checkpoint.read_json(kept) if kept.exists() else None
        shutil.copyfile(source / "model.safetensors", folder / "model.safetensors")
    data = notes.get("data")
    if isinstance(data, dict) and "source" in data:
        data["source"] = Path(str(data["source"])).name
    checkpoint.write_json(folder / "config.json", notes)
    (folder / "README.md").write_text(model_card(loaded, notes, figures), encoding="utf-8")


def _name(place: str | Path) -> str:
    name = str(place).removeprefix(HUB)
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(f"expected hf://owner/name, got {str(place)!r}")
    return name


def _conditional(model: Model) -> str:
    return "" if model.condition is None else ", condition=0"


def _density(model: Density) -> str:
    if isinstance(model, Exact):
        return "exact"
    return "a lower bound" if isinstance(model, LowerBound) else "an estimate"
