"""The columns of the table, in the terminal and on the page alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genus.evaluation.figure import SYMBOLS

__all__ = ["COLUMNS", "DASH", "Column", "examples", "number"]

Row = dict[str, Any]

DASH = "–"
"""What stands where a model cannot answer."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: in a row; also the key of its heading among the page's words.
        heading: short, for the terminal.
        width: in the terminal.
        text: how a row is printed.
        better: which end is better, or None where the column is no contest.
    """

    key: str
    heading: str
    width: int
    text: Callable[[Row], str]
    better: Literal["high", "low"] | None = None


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, thousands separated, with a real minus sign."""
    if value is None:
        return DASH
    size = abs(value)
    if size >= 10 ** (digits - 1):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{value:.1e}"
    return text.replace("-", "−", 1) if value < 0 else text


def log_likelihood(row: Row) -> str:
    """The mean in nats with its sign and standard error, or "none"."""
    value = row.get("log_likelihood")
    if value is None:
        return "none" if row["status"] == "done" else DASH
    error = row.get("log_likelihood_standard_error")
    text = f"{SYMBOLS[row['log_likelihood_sign']]} {value:,.1f}".replace("-", "−")
    return text if error is None else f"{text} ± {error:.1f}"


def bits(row: Row) -> str:
    """Bits per dimension with their sign."""
    value = row.get("bits_per_dim")
    if value is None:
        return DASH
    sign = SYMBOLS[row.get("bits_per_dim_sign", "=")]
    return f"{sign} {value:.3f}".replace("-", "−")


def percent(key: str, *, of_samples: bool = False) -> Callable[[Row], str]:
    """A share in per cent, with a star where few samples make it incomparable."""

    def text(row: Row) -> str:
        value = row.get(key)
        star = "*" if of_samples and row.get("fid_note") else ""
        return DASH if value is None else f"{100 * value:.1f}%{star}"

    return text


def beside_floor(key: str, floor: str, digits: int = 3) -> Callable[[Row], str]:
    """A figure with that of real data (or of the mean datum) in brackets."""

    def text(row: Row) -> str:
        if row.get(key) is None:
            return DASH
        return f"{number(row[key], digits)} ({number(row.get(floor), digits)})"

    return text


def plain(key: str, digits: int = 3) -> Callable[[Row], str]:
    """A figure alone."""
    return lambda row: number(row.get(key), digits)


def fid(row: Row) -> str:
    """The distance, its floor, and a star where few samples make both large."""
    text = beside_floor("fid", "fid_floor")(row)
    return f"{text}*" if row.get("fid_note") else text


def large(key: str) -> Callable[[Row], str]:
    """A count in thousands or millions."""

    def text(row: Row) -> str:
        value = row.get(key)
        if value is None:
            return DASH
        for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.3g}{unit}"
        return f"{value:.0f}"

    return text


def samples_per_second(row: Row) -> str:
    """Draws a second."""
    return (
        large("samples_per_second")(row)
        if (row.get("samples_per_second") or 0) >= 1e4
        else (number(row.get("samples_per_second")))
    )


def evaluations(row: Row) -> str:
    """Passes through the network behind a draw."""
    value = row.get("network_evaluations")
    return DASH if value is None else f"{value:,}"


def examples(rows: Sequence[Row]) -> str:
    """How many test examples each likelihood rests on: "PPCA 2,000, RBM 500"."""
    key = "log_likelihood_examples"
    return ", ".join(f"{row['model']} {row[key]:,}" for row in rows if row.get(key))


def full_speed(row: Row) -> str:
    """Draws a second through every step, where there is a shorter way."""
    if row.get("full_samples_per_second") is None:
        return DASH
    steps = row["full_network_evaluations"]
    return f"{number(row['full_samples_per_second'])} ({steps:,})"


COLUMNS: tuple[Column, ...] = (
    Column("model", "model", 10, lambda row: str(row["model"])),
    Column("log_likelihood", "log-lik. (nats)", 19, log_likelihood, "high"),
    Column("bits_per_dim", "bits/dim", 8, bits, "low"),
    Column("space", "measured on", 13, lambda row: _short(row.get("space"))),
    Column("fid", "FID (real)", 14, fid, "low"),
    Column("samples_per_second", "samples/s", 9, samples_per_second, "high"),
    Column("network_evaluations", "network evals", 13, evaluations, "low"),
    Column("precision", "precision", 9, percent("precision", of_samples=True), "high"),
    Column("recall", "recall", 8, percent("recall", of_samples=True), "high"),
    Column(
        "reconstruction_error",
        "reconstr. (mean)",
        16,
        beside_floor("reconstruction_error", "reconstruction_error_floor"),
        "low",
    ),
    Column(
        "completion_error",
        "compl. (mean)",
        15,
        beside_floor("completion_error", "completion_error_floor"),
        "low",
    ),
    Column("probe_accuracy", "probe", 7, percent("probe_accuracy"), "high"),
    Column("full_samples_per_second", "samples/s (all steps)", 21, full_speed, "high"),
    Column("examples_per_second", "train ex./s", 11, large("examples_per_second"), "high"),
    Column("parameters", "params", 7, large("parameters"), "low"),
    Column("memory", "memory", 7, large("memory"), "low"),
    Column("seconds", "train s", 7, plain("seconds")),
    Column("evaluation_seconds", "eval s", 6, plain("evaluation_seconds")),
    Column("status", "status", 11, lambda row: str(row["status"])),
)


def _short(space: str | None) -> str:
    """The kind of likelihood space in a word or two."""
    if space is None:
        return DASH
    return "dequantised" if space.endswith("dequantised") else space
