"""The comparison in a terminal: a table that grows, and plain lines where there is none."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from genus.compare.plan import Plan
from genus.report.columns import COLUMNS, Column, examples

__all__ = ["GrowingTable", "plain_tables"]

MAIN = (
    "model",
    "log_likelihood",
    "bits_per_dim",
    "space",
    "fid",
    "samples_per_second",
    "network_evaluations",
    "status",
)
MORE = (
    "model",
    "reconstruction_error",
    "completion_error",
    "probe_accuracy",
    "full_samples_per_second",
    "examples_per_second",
    "parameters",
    "memory",
    "seconds",
)
STYLES = {"done": "green", "failed": "red", "interrupted": "yellow"}
SIGNS = (
    "= exact   ≥ lower bound   ≈ estimate (± standard error)   none: the model has no likelihood"
)


class GrowingTable:
    """Prints a row as soon as it is known, and the rest of the figures at the end.

    Args:
        console: a rich console; standard output by default.
    """

    def __init__(self, console: Any = None) -> None:
        self.console: Console = console or Console(highlight=False)
        self.waiting: Any = None

    def begin(self, plan: Plan, num_families: int) -> None:
        """The heading."""
        self.started, self.left, self.num_families = time.monotonic(), num_families, num_families
        self._line(
            Text(
                f"{num_families} families on {plan.data_name()}, {plan.budget_name()} of training "
                f"each, seed {plan.seed}",
                style="bold",
            )
        )
        self._line(Text(""))
        self._line(_heading(_columns(MAIN)))

    def say(self, name: str, doing: str) -> None:
        """What is being done now, with an estimate of the time that is left."""
        self.quiet()
        done = self.num_families - self.left
        note = f"{name}: {doing}"
        if done:
            seconds = (time.monotonic() - self.started) / done * self.left
            note += f", about {max(1, round(seconds / 60))} min left"
        if self.console.is_terminal:
            self.waiting = self.console.status(note)
            self.waiting.start()

    def quiet(self) -> None:
        """Clears the line for a progress bar."""
        if self.waiting is not None:
            self.waiting.stop()
            self.waiting = None

    def add(self, row: dict[str, Any]) -> None:
        """One more row."""
        self.quiet()
        self.left -= 1
        self._line(_row_text(row, _columns(MAIN)))
        if row["status"] == "failed":
            self._line(Text(f"  {row['reason']}", style="red"))

    def end(self, rows: list[dict[str, Any]], page: Path, results: Path) -> None:
        """The other figures, what the signs mean, and where everything lies."""
        self.quiet()
        for row in rows:
            if row["status"] == "interrupted":
                self._line(_row_text(row, _columns(MAIN)))
        self._line(Text(""))
        self._line(_heading(_columns(MORE)))
        for row in rows:
            if row["status"] == "done":
                self._line(_row_text(row, _columns(MORE)))
        self._line(Text(""))
        for note in notes(rows):
            self._line(Text(note, style="dim"))
        self._line(Text(""))
        self._line(Text(f"report   {page}"))
        self._line(Text(f"figures  {results}"))

    def _line(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True)


def plain_tables(rows: list[dict[str, Any]]) -> str:
    """Both tables and their notes as text."""
    lines = []
    for names in (MAIN, MORE):
        columns = _columns(names)
        lines.append(_heading(columns).plain)
        lines += [_row_text(row, columns).plain for row in rows]
        lines.append("")
    return "\n".join([*lines, *notes(rows)])


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """What a reader must know to compare the figures of these rows."""
    found = [SIGNS]
    spaces = {row.get("space") for row in rows if row.get("log_likelihood") is not None}
    if len(spaces) > 1:
        found.append(
            "Likelihoods compare only where they are measured on the same: binary pixels, or levels"
        )
    counts = examples(rows)
    if counts:
        found.append(f"log-likelihood of the first test examples: {counts}")
    if any((space or "").endswith("dequantised") for space in spaces):
        found.append(
            "dequantised: a density in units of one level, exact as a density and a lower bound "
            "for the levels"
        )
    for row in rows:
        if row.get("log_likelihood_reverse") is not None:
            found.append(
                f"{row['model']}: log-likelihood by reverse AIS "
                f"{_one_decimal(row['log_likelihood_reverse'])}, by AIS "
                f"{_one_decimal(row['log_likelihood'])}{_bracket(row)}, if the chains mix "
                "(both can miss the same mode)"
            )
        if row.get("full_samples_per_second") is not None:
            found.append(f"{row['model']}: samples by {row['sampler']}; all steps timed apart")
    networks = {row["feature_network"] for row in rows if row.get("feature_network")}
    if networks:
        found.append(
            f"FID in {', '.join(sorted(networks))}; in brackets that of as many real training data"
        )
    if any(row.get("fid_note") for row in rows):
        few = sorted({row["fid_samples"] for row in rows if row.get("fid_note")})
        sizes = ", ".join(str(n) for n in few)
        found.append(f"* from {sizes} samples, below 2,048: compare with its bracket only")
    return found


def _bracket(row: dict[str, Any]) -> str:
    """Bounds from both sides, where they are known."""
    ends = [row.get(f"log_likelihood_{end}") for end in ("lower", "upper")]
    low, high = (None if end is None else _one_decimal(end) for end in ends)
    if high is None:
        return "; the truth lies between" if low is None else f"; the truth is at least {low}"
    return f"; the truth lies between {low} and {high}"


def _one_decimal(value: float) -> str:
    return f"{value:,.1f}".replace("-", "−")


def _columns(names: tuple[str, ...]) -> list[Column]:
    by_key = {column.key: column for column in COLUMNS}
    return [by_key[name] for name in names]


def _heading(columns: list[Column]) -> Text:
    text = Text(style="bold")
    for place, column in enumerate(columns):
        text.append(_cell(column.heading, column, place))
    return text


def _row_text(row: dict[str, Any], columns: list[Column]) -> Text:
    text = Text()
    for place, column in enumerate(columns):
        style = STYLES.get(row["status"], "") if column.key == "status" else ""
        text.append(_cell(column.text(row), column, place), style=style or None)
    text.rstrip()
    return text


def _cell(content: str, column: Column, place: int) -> str:
    """The first column and the last stand left, figures right."""
    if place == 0:
        return content.ljust(column.width)
    return "  " + (content.ljust if column.key == "status" else content.rjust)(column.width)
