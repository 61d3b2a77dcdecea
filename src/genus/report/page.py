"""The report as one file that opens offline: pictures, styles and script lie within it."""

import base64
import html
import json
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from genus.engine import checkpoint
from genus.report.columns import COLUMNS, DASH, Column, examples
from genus.report.curve import learning_curve, read_log, trade_off
from genus.version import __version__

__all__ = ["words", "write_page"]

PICTURES = (
    "samples",
    "means",
    "real",
    "interpolation",
    "reconstructions",
    "nearest",
    "completion_left_half",
    "completion_random_half",
    "completion_centre_box",
)
OF_SAMPLES = ("fid", "precision", "recall")

Row = dict[str, Any]


def words() -> dict[str, dict[str, str]]:
    """Every label of the page by language and key."""
    found: dict[str, dict[str, str]] = json.loads(_template("words.json"))
    return found


def write_page(folder: Path, rows: Sequence[Row], *, data: str, budget: str, seed: int) -> Path:
    """Writes ``index.html`` from the rows and what lies in ``folder/runs/FAMILY``.

    Args:
        folder: of the report.
        rows: in the shape of ``results.json``.
        data: what was learnt.
        budget: of every family, in words.
        seed: of everything.

    Returns:
        The page.
    """
    facts = {
        "data": data,
        "budget": budget,
        "seed": str(seed),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
    }
    content = {
        "style": _template("style.css"),
        "script": _template("script.js"),
        "words": json.dumps(words(), ensure_ascii=False).replace("</", "<\\/"),
        "facts": "".join(
            f"<div><dt>{_t(f'fact.{key}')}</dt><dd>{html.escape(value)}</dd></div>"
            for key, value in facts.items()
        ),
        "chart": _chart(rows),
        "table": _table(rows),
        "legend": _legend(rows),
        "families": "".join(_family(row, folder / "runs" / row["family"]) for row in rows),
        "title": html.escape(f"genus · {data}"),
    }
    page = _template("page.html")
    for name, text in content.items():
        page = page.replace(f"<!--{name}-->", text)
    path = folder / "index.html"
    checkpoint.write_bytes(path, page.encode())
    return path


def _template(name: str) -> str:
    return (resources.files("genus.report") / "templates" / name).read_text(encoding="utf-8")


def _t(key: str, tag: str = "span") -> str:
    """A label in the language that the reader chooses; English until the script has run."""
    text = html.escape(words()["en"][key])
    return f'<{tag} data-t="{html.escape(key)}">{text}</{tag}>'


def _chart(rows: Sequence[Row]) -> str:
    drawn = _worded(trade_off(rows))
    if not drawn:
        return ""
    kinds = [
        kind
        for kind in ("exact", "lower bound", "estimate", "none")
        if any(row.get("density") == kind for row in rows)
    ]
    keys = "".join(
        f'<li><i class="dot {kind.replace(" ", "-")}"></i>{_t(f"density.{kind}")}</li>'
        for kind in kinds
    )
    return (
        f'<section class="chart"><h2>{_t("chart.title")}</h2><p>{_t("chart.note")}</p>'
        f'{drawn}<ul class="keys">{keys}</ul></section>'
    )


def _table(rows: Sequence[Row]) -> str:
    head = "".join(_heading(column) for column in COLUMNS)
    best = {column.key: _best(column, rows) for column in COLUMNS}
    body = "".join(
        f'<tr class="{html.escape(row["status"])}">'
        + "".join(_cell(column, row, best[column.key]) for column in COLUMNS)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _heading(column: Column) -> str:
    arrow = {"high": "↑", "low": "↓", None: ""}[column.better]
    title = (
        f'data-title="help.{column.key}" title="{html.escape(words()["en"][f"help.{column.key}"])}"'
    )
    return (
        f'<th scope="col" aria-sort="none" {title}><button type="button">'
        f"{_t(f'column.{column.key}')}<small>{arrow}</small></button></th>"
    )


def _best(column: Column, rows: Sequence[Row]) -> float | None:
    """The leading value, where the column is a contest that these rows can hold."""
    contest = ("fid", "precision", "recall", "probe_accuracy", "samples_per_second")
    judged = [row for row in rows if not (column.key in OF_SAMPLES and row.get("fid_note"))]
    values = [row[column.key] for row in judged if row.get(column.key) is not None]
    if column.key not in contest or len(values) < 2:
        return None
    return max(values) if column.better == "high" else min(values)


def _cell(column: Column, row: Row, best: float | None) -> str:
    value = row.get(column.key)
    text = html.escape(column.text(row))
    if column.key == "model":
        anchor = html.escape(row["family"])
        return f'<th scope="row" data-v="{text}"><a href="#{anchor}">{text}</a></th>'
    if column.key == "status":
        return f'<td data-v="{text}">{_t("status." + row["status"])}</td>'
    if text == "none":
        text = _t("density.none")
    if column.key == "space":
        text = _space(text)
    order = "" if value is None else f' data-v="{html.escape(str(value))}"'
    classes = " ".join(
        name
        for name, holds in (("best", best is not None and value == best), ("void", text == DASH))
        if holds
    )
    return f'<td{order} class="{classes}">{text}</td>'


def _space(text: str) -> str:
    """Binary, dequantised or a number of levels, in the reader's language."""
    count, _, word = text.rpartition(" ")
    if f"space.{word}" not in words()["en"]:
        return text
    return f"{count} {_t(f'space.{word}')}".strip()


def _legend(rows: Sequence[Row]) -> str:
    keys = ["exact", "bound", "estimate", "none", "space", "floor"]
    if any(row.get("log_likelihood_reverse") is not None for row in rows):
        keys.append("reverse")
    if any((row.get("space") or "").endswith("dequantised") for row in rows):
        keys.append("dequantised")
    if any(row.get("fid_note") for row in rows):
        keys.append("few")
    keys += ["completion", "speed"]
    items = "".join(f"<li>{_t(f'legend.{key}')}</li>" for key in keys)
    counts = examples(rows)
    if counts:
        items += f"<li>{_t('legend.examples')} {html.escape(counts)}</li>"
    return f"<h2>{_t('legend.title')}</h2><ul>{items}</ul>"


def _family(row: Row, folder: Path) -> str:
    name = html.escape(row["family"])
    density = row.get("density")
    chips = f'<b class="chip {html.escape(row["status"])}">{_t("status." + row["status"])}</b>'
    if density is not None:
        kind = html.escape(density.replace(" ", "-"))
        chips += f'<b class="chip {kind}">{_t("density." + density)}</b>'
    about = _t(f"about.{row['family']}", "p") if f"about.{row['family']}" in words()["en"] else ""
    head = f"<header><h3>{html.escape(row['model'])}</h3>{chips}</header>{about}"
    if row["status"] != "done":
        reason = html.escape(row.get("reason", ""))
        body = f'<p class="reason">{_t("family.reason")} <code>{reason}</code></p>'
        return f'<article id="{name}">{head}{body}</article>'
    pictures = "".join(_picture(kind, folder / "pictures" / f"{kind}.png") for kind in PICTURES)
    curve = _worded(learning_curve(read_log(folder / "log.jsonl")))
    if curve:
        curve = (
            f"<figure class='curve'><figcaption>{_t('picture.curve')}</figcaption>{curve}</figure>"
        )
    return (
        f'<article id="{name}">{head}{_headline(row)}'
        f'<div class="pictures">{pictures}{curve}</div>{_details(row)}</article>'
    )


def _headline(row: Row) -> str:
    """The four figures that a reader asks for first."""
    wanted = ("log_likelihood", "fid", "samples_per_second", "parameters")
    by_key = {column.key: column for column in COLUMNS}
    cells = "".join(
        f"<div><dt>{_t(f'column.{key}')}</dt><dd>{html.escape(by_key[key].text(row))}</dd></div>"
        for key in wanted
    )
    if row.get("log_likelihood_reverse") is not None:
        value = f"{row['log_likelihood_reverse']:.1f}".replace("-", "−")
        cells += f"<div><dt>{_t('fact.reverse')}</dt><dd>{value}</dd></div>"
    return f'<dl class="headline">{cells}</dl>'


def _picture(kind: str, path: Path) -> str:
    if not path.exists():
        return ""
    with Image.open(path) as image:
        width, height = image.size
    encoded = base64.b64encode(path.read_bytes()).decode()
    scale = 2 if width < 500 else 1
    return (
        f'<figure class="{kind}" style="--w:{width * scale}px">'
        f"<figcaption>{_t(f'picture.{kind}')}</figcaption>"
        f'<img alt="{html.escape(words()["en"][f"picture.{kind}"])}" width="{width}" '
        f'height="{height}" src="data:image/png;base64,{encoded}"></figure>'
    )


def _details(row: Row) -> str:
    """Settings and all the other figures, folded away."""
    skip = {"settings", "pictures", "completion", "evaluation_parts", "note", "fid_note"}
    plain = {key: value for key, value in row.items() if key not in skip and value is not None}
    settings = {**row.get("settings", {})}
    for mask, figures in (row.get("completion") or {}).items():
        plain[f"completion, {mask}"] = f"{figures['error']:.4f} ({figures['floor']:.4f})"
    parts = []
    for title, values in (("family.settings", settings), ("family.figures", plain)):
        if values:
            lines = "".join(
                f"<tr><th>{_label(str(key))}</th><td>{html.escape(_shown(value))}</td></tr>"
                for key, value in values.items()
            )
            parts.append(f"<details><summary>{_t(title)}</summary><table>{lines}</table></details>")
    return "".join(parts)


def _label(key: str) -> str:
    """A figure's name: in words where the page has them, else as in ``results.json``."""
    known = f"figure.{key}" in words()["en"]
    return _t(f"figure.{key}") if known else html.escape(key)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _worded(svg: str) -> str:
    """The drawing with its English labels filled in, for readers without the script."""
    for key, text in words()["en"].items():
        svg = svg.replace(f'data-t="{key}"></text>', f'data-t="{key}">{html.escape(text)}</text>')
    return svg
