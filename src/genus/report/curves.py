"""The learning curves of a run as one picture."""

import io
import json
import math
from pathlib import Path
from typing import Any

from genus.engine import checkpoint

__all__ = ["save_curves"]

Row = dict[str, float]
FREE_ENERGIES = ("free_energy_train", "free_energy_valid")


def save_curves(log: Path, path: Path) -> bool:
    """Draws what a run's log says, against steps: losses, and free energies of both parts.

    Args:
        log: the ``log.jsonl`` of the run.
        path: the ``.png`` to write.

    Returns:
        Whether there was anything to draw: no curve has fewer than two points.

    Raises:
        OSError: where the file cannot be written; nothing is left behind.
    """
    if not log.exists():
        return False
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    panels = _panels(rows)
    if not panels:
        return False
    from matplotlib.figure import Figure  # slow to import

    down, across = -(-len(panels) // 2), min(2, len(panels))
    figure = Figure(figsize=(4.2 * across, 2.6 * down), dpi=100, layout="constrained")
    places = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, (title, names) in zip(places, panels, strict=False):
        _draw(axes, rows, title, names)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    checkpoint.write_bytes(path, buffer.getvalue())
    return True


def _panels(rows: list[Row]) -> list[tuple[str, tuple[str, ...]]]:
    """What belongs into one plot, with its title."""
    known = {name for row in rows for name in row}
    losses = tuple(sorted(name for name in known if name.endswith("_loss"))) or ("loss",)
    asked = [
        ("loss", losses),
        ("reconstruction error", ("reconstruction",)),
        ("mean free energy (nats)", FREE_ENERGIES),
        ("free energy, valid less train (nats)", ("free_energy_gap",)),
    ]
    drawn = [
        (title, tuple(n for n in names if len(_points(rows, n)) > 1)) for title, names in asked
    ]
    return [(title, names) for title, names in drawn if names]


def _draw(axes: Any, rows: list[Row], title: str, names: tuple[str, ...]) -> None:
    for name in names:
        steps, values = zip(*_points(rows, name), strict=True)
        label = name.removeprefix("free_energy_").replace("_", " ")
        axes.plot(steps, values, label=label, linewidth=1.2)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if len(names) > 1:
        axes.legend(fontsize=8)


def _points(rows: list[Row], name: str) -> list[tuple[float, float]]:
    """Steps and finite values."""
    found = [(row["step"], row[name]) for row in rows if name in row]
    return [point for point in found if math.isfinite(point[1])]
