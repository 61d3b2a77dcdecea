"""The README's picture and table, from the folder of a finished comparison.

    python scripts/readme_figures.py report

Writes docs/pictures/families.png and prints the table as Markdown.
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIGNS = {"=": "= ", ">=": "≥ ", "~": "≈ "}
ROWS_SHOWN, COLUMNS = 2, 16


def picture(folder: Path, rows: list[dict]) -> Image.Image:
    """Two rows of unselected samples for each family, its name on the left."""
    strips = []
    for row in rows:
        grid = Image.open(folder / "runs" / row["family"] / "pictures" / "samples.png").convert("L")
        shown = grid.crop((0, 0, grid.width, round(grid.height * ROWS_SHOWN / 5)))
        strips.append((row["model"], shown))
    margin, gap = 150, 8
    width = margin + max(strip.width for _, strip in strips)
    height = sum(strip.height + gap for _, strip in strips)
    page = Image.new("L", (width, height), 255)
    draw, top = ImageDraw.Draw(page), 0
    font = ImageFont.load_default(size=24)
    for name, strip in strips:
        draw.text((10, top + strip.height // 2), name, fill=0, font=font, anchor="lm")
        page.paste(strip, (margin, top))
        top += strip.height + gap
    return page


def likelihood(row: dict) -> str:
    """Nats with their sign."""
    if row["log_likelihood"] is None:
        return "none"
    return f"{SIGNS[row['log_likelihood_sign']]}{row['log_likelihood']:.1f}".replace("-", "−")


def number(value: float | None) -> str:
    """Three significant digits, thousands separated."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: list[dict]) -> str:
    """The comparison as Markdown."""
    lines = [
        "| model | log-likelihood (nats) | bits/dim | FID (real) | probe accuracy | samples/s |"
        " network evaluations | training images/s | parameters |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        probe = row.get("probe_accuracy")
        bits = "" if row["bits_per_dim"] is None else f"{row['bits_per_dim']:.3f}"
        cells = [
            row["model"],
            likelihood(row),
            bits,
            f"{row['fid']:.1f} ({row['fid_floor']:.1f})",
            "" if probe is None else f"{100 * probe:.1f} %",
            number(row["samples_per_second"]),
            f"{row.get('network_evaluations', '')}",
            number(row["examples_per_second"]),
            number(row["parameters"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Writes the picture, prints the table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "report")
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    finished = [row for row in rows if row["status"] == "done"]
    target = Path("docs/pictures/families.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    picture(folder, finished).save(target, optimize=True)
    print(table(finished))


if __name__ == "__main__":
    main()
