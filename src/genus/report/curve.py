"""Line drawings for the page, as SVG that follows the page's colours and language."""

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["learning_curve", "read_log", "trade_off"]

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 42
MOST_POINTS = 150
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)

Series = dict[str, list[tuple[float, float]]]


def read_log(path: Path) -> Series:
    """Every loss in a run's ``log.jsonl`` against seconds of training.

    A run that reports the likelihood of each pass instead of a loss gives that.
    """
    series: Series = {}
    if not path.exists():
        return series
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    names = {name for row in rows for name in row}
    wanted = sorted(name for name in names if name.endswith("_loss")) or ["loss"]
    for name in wanted:
        points = [(float(row["seconds"]), float(row[name])) for row in rows if name in row]
        points = [point for point in points if all(map(math.isfinite, point))]
        if len(points) > 1:
            series[name] = _thinned(points)
    return series


def learning_curve(series: Series) -> str:
    """The losses against time; an empty text where there are too few points for a line.

    The vertical axis shows the middle 98 % of the values, so that the first steps do not
    flatten the rest.
    """
    if not series:
        return ""
    times = [t for points in series.values() for t, _ in points]
    values = sorted(v for points in series.values() for _, v in points)
    low, high = _quantile(values, 0.01), _quantile(values, 0.99)
    if not high > low:
        low, high = low - 1.0, high + 1.0
    pad = 0.05 * (high - low)
    across = _Axis(0.0, max(times) or 1.0, LEFT, WIDTH - RIGHT)
    upwards = _Axis(low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    parts = [_grid(across, upwards), _label(WIDTH - RIGHT, HEIGHT - 4, "axis.seconds", "end")]
    for number, (name, points) in enumerate(series.items()):
        line = " ".join(
            f"{across(t):.1f},{upwards(min(max(v, low - pad), high + pad)):.1f}" for t, v in points
        )
        parts.append(f'<polyline class="line s{number % 4}" points="{line}"/>')
        place = WIDTH - RIGHT - 4, TOP + 14 + 15 * number
        parts.append(_text(*place, name.replace("_", " "), f"key s{number % 4}", "end"))
    return _svg(parts, WIDTH, HEIGHT)


def trade_off(rows: Sequence[dict[str, Any]]) -> str:
    """Sample quality against sampling speed, both on logarithmic axes, better to the top right."""
    shown = [r for r in rows if r.get("fid") and r.get("samples_per_second")]
    if len(shown) < 2:
        return ""
    width, height = 640, 340
    fids = [float(r["fid"]) for r in shown]
    floors = [float(r["fid_floor"]) for r in shown if r.get("fid_floor") and not r.get("fid_note")]
    speeds = [float(r["samples_per_second"]) for r in shown]
    across = _Axis(min(speeds) / 2, max(speeds) * 4, LEFT, width - RIGHT, logarithmic=True)
    lowest = min(fids + floors) / 1.5
    upwards = _Axis(lowest, max(fids) * 1.5, TOP, height - BOTTOM, logarithmic=True)
    parts = [_grid(across, upwards, width, height)]
    parts.append(_label(width - RIGHT, height - 4, "axis.samples_per_second", "end"))
    parts.append(_label(LEFT + 8, TOP + 14, "axis.fid", "start"))
    if floors:
        y = upwards(sum(floors) / len(floors))
        parts.append(_rule("floor", y, width))
        parts.append(_label(width - RIGHT - 4, y - 6, "axis.floor", "end"))
    taken: list[tuple[float, float]] = []
    for row in shown:
        x, y = across(float(row["samples_per_second"])), upwards(float(row["fid"]))
        beside = y + 5
        while any(abs(beside - b) < 15 and abs(x - a) < 90 for a, b in taken):
            beside += 15
        taken.append((x, beside))
        kind = html.escape(str(row.get("density", "none")).replace(" ", "-"))
        kind += " few" if row.get("fid_note") else ""
        parts.append(f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>')
        parts.append(_text(x + 11, beside, str(row["model"]), "name"))
    return _svg(parts, width, height)


class _Axis:
    """From values to places on the page."""

    def __init__(
        self, low: float, high: float, start: float, end: float, *, logarithmic: bool = False
    ) -> None:
        self.low, self.high, self.logarithmic = low, high, logarithmic
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the axis, about four of them."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**p for p in range(first, last + 1)]
            if sum(self.low <= p <= self.high for p in powers) < 3:
                powers = sorted(m * p for p in powers for m in (1, 2, 5))
            return [p for p in powers if self.low <= p <= self.high]
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(n * power for n in NICE if n * power >= rough * 0.999)
        first = math.ceil(self.low / step)
        return [step * n for n in range(first, math.floor(self.high / step) + 1)]


def _grid(across: _Axis, upwards: _Axis, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Rules, ticks and the horizontal axis."""
    parts = []
    for value in upwards.ticks():
        y = upwards(value)
        parts.append(_rule("rule", y, width))
        parts.append(_text(LEFT - 7, y + 4, _tick(value), "tick", "end"))
    for value in across.ticks():
        x = across(value)
        parts.append(_text(x, height - BOTTOM + 17, _tick(value), "tick", "middle"))
    parts.append(_rule("axis", height - BOTTOM, width))
    return "".join(parts)


def _rule(kind: str, y: float, width: int) -> str:
    right = width - RIGHT
    return f'<line class="{kind}" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, content: str, kind: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{html.escape(content)}</text>'


def _tick(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _label(x: float, y: float, key: str, anchor: str) -> str:
    """A text that the page's words fill in."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="tick" {place} data-t="{key}"></text>'


def _svg(parts: list[str], width: int, height: int) -> str:
    view = f'viewBox="0 0 {width} {height}" preserveAspectRatio="xMinYMin"'
    return f'<svg {view} role="img">{"".join(parts)}</svg>'


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points, each the mean of its neighbours."""
    size = -(-len(points) // MOST_POINTS)
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(t for t, _ in c) / len(c), sum(v for _, v in c) / len(c)) for c in chunks]


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]
