"""The table of docs/results.md, from the records in results/.

    python scripts/results_table.py

Replaces what stands between the two markers of the page; ``--check`` only says whether it is
up to date.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
SIGNS = {"=": "=", ">=": "≥", "<=": "≤", "~": "≈"}
LEFT_OUT = ("bits_per_dim", "reconstruction_error", "examples_per_second")


def number(value: float) -> str:
    """Four significant digits, with the minus of print."""
    return f"{value:.4g}".replace("-", "−")


def shown(figure: dict[str, Any]) -> str:
    """A figure with its sign and standard error."""
    text = f"{SIGNS[figure['sign']]} {number(figure['value'])}"
    error = figure.get("standard_error")
    return f"{text} ± {error:.2g}" if error else text


def published(figure: dict[str, Any]) -> str:
    """What others reached, and on which binarisation where it is another."""
    if "published" in figure:
        return f"{number(figure['published'])}, {figure['source']}"
    other = figure.get("published_otherwise")
    if other is None:
        return ""
    value = f"{SIGNS[other['sign']]} {number(other['value'])}"
    return f"{value}, {other['source']}, {other['binarisation']} binarisation"


def rows(record: dict[str, Any]) -> list[str]:
    """The lines of one record: the first also tells how it was made."""
    lines = []
    for name, figure in record["metrics"].items():
        if name in LEFT_OUT:
            continue
        label = name.replace("_", " ")
        cells = [f"`{record['recipe']}`", label, shown(figure), published(figure)]
        made = ""
        if not lines:
            made = f"{record['seconds']:,.0f} s on {record['hardware']}"
            if record.get("binarisation"):
                made += f"; {record['binarisation']} binarisation"
            made += f"; seeds {', '.join(map(str, record['seeds']))}"
        lines.append("| " + " | ".join([*cells, made]) + " |")
    return lines


def table(folder: Path) -> str:
    """All records that hold metrics, by recipe."""
    lines = ["| recipe | figure | measured | published | how |", "|---|---|---|---|---|"]
    notes = []
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "metrics" in record:
            lines += rows(record)
            if record.get("note"):
                notes.append(f"- `{record['recipe']}`: {record['note']}")
    return "\n".join([*lines, "", *notes])


def main() -> int:
    """Writes the page, or with ``--check`` compares it."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = f"{before}{BEGIN}\n{table(ROOT / 'results')}\n{END}{after}"
    if "--check" in sys.argv:
        print("up to date" if made == text else "results.md is not what results/ says")
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
