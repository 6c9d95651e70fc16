"""Charts of the report as inline SVG: no script, no library, readable in the dark and by a screen reader.

Colours are classes of the style sheet (``kept``, ``left``, ``mark``, ``axis``), so a chart follows the page's theme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

WIDTH, HEIGHT, FOOT = 320.0, 110.0, 18.0
BINS = 28
_TRIM = 0.5
"""Percent of the values at each end that share the outermost bar, so that a few strays do not flatten the rest."""


@dataclass(frozen=True)
class Chart:
    """A drawing, its title, and a line that says in words what it shows."""

    title: str
    svg: Markup
    note: str


def histogram(
    title: str,
    kept: Sequence[float],
    left: Sequence[float] = (),
    unit: str = "",
    marks: Sequence[float] = (),
    whole: bool = False,
) -> Chart | None:
    """How a measure is spread: bars of the clips kept with those left out on top, and dashed lines at thresholds.

    Args:
        whole: the values are whole numbers, with a bar for each.

    Returns:
        None where nothing was measured.
    """
    first, second = _finite(kept), _finite(left)
    both = np.concatenate([first, second])
    if not len(both):
        return None
    edges = _edges(both, whole)
    low, high = edges[0], edges[-1]
    counts = [np.histogram(np.clip(part, low, np.nextafter(high, low)), edges)[0] for part in (first, second)]
    most = max(1, int((counts[0] + counts[1]).max()))
    step = WIDTH / (len(edges) - 1)
    bars = []
    for at in range(len(edges) - 1):
        below = 0.0
        said = f"{_figure(edges[at])} to {_figure(edges[at + 1])} {unit}".strip()
        if whole:
            said = f"{round((edges[at] + edges[at + 1]) / 2)} {unit}".strip()
        for kind, word, count in (("kept", "kept", counts[0][at]), ("left", "left out", counts[1][at])):
            if count:
                tall = max(1.0, (HEIGHT - 4) * float(count) / most)
                bars.append(
                    f'<rect class="{kind}" x="{at * step + 0.5:.1f}" y="{HEIGHT - below - tall:.1f}" '
                    f'width="{max(0.8, step - 1):.1f}" height="{tall:.1f}"><title>{said}: {count} {word}</title></rect>'
                )
                below += tall
    for mark in sorted(set(marks))[:3]:
        if low <= mark <= high:
            x = WIDTH * (mark - low) / (high - low)
            bars.append(
                f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"><title>threshold '
                f"{_figure(mark)}</title></line>"
            )
    base = first if len(first) else second
    note = f"median {_figure(float(np.median(base)))}{' ' + unit if unit else ''}, {len(first):,} kept" + (
        f", {len(second):,} left out" if len(second) else ""
    )
    return Chart(title, _svg(bars + _axis(low, high, whole), f"{title}: {note}"), note)


def heat(
    title: str, xs: Sequence[float], ys: Sequence[float], reach: tuple[float, float], labels: tuple[str, str], unit: str
) -> Chart | None:
    """Where pairs of values lie, darker where there are more; zero in the middle.

    Args:
        reach: greatest |x| and |y| shown; what lies beyond counts as the edge.
        labels: names of the axes.
    """
    pairs = np.asarray([(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)])
    if not len(pairs):
        return None
    across, up = 24, 12
    clipped = np.clip(pairs, [-reach[0], -reach[1]], np.asarray(reach) * (1 - 1e-9))
    limits = [[-reach[0], reach[0]], [-reach[1], reach[1]]]
    counts, _, _ = np.histogram2d(clipped[:, 0], clipped[:, 1], bins=[across, up], range=limits)
    most = counts.max()
    cell = (WIDTH / across, HEIGHT / up)
    drawn = [f'<rect class="ground" x="0" y="0" width="{WIDTH:.0f}" height="{HEIGHT:.0f}"/>']
    for column in range(across):
        for row in range(up):
            count = int(counts[column, row])
            if count:
                x, y = column * cell[0], HEIGHT - (row + 1) * cell[1]
                drawn.append(
                    f'<rect class="kept" x="{x:.1f}" y="{y:.1f}" width="{cell[0] - 0.5:.1f}" '
                    f'height="{cell[1] - 0.5:.1f}" opacity="{0.15 + 0.85 * math.sqrt(count / most):.2f}">'
                    f"<title>{count} clips</title></rect>"
                )
    middle = (WIDTH / 2, HEIGHT / 2)
    drawn.append(f'<line class="axis" x1="{middle[0]}" x2="{middle[0]}" y1="0" y2="{HEIGHT}"/>')
    drawn.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{middle[1]}" y2="{middle[1]}"/>')
    share = float(np.mean(np.all(np.abs(pairs) <= 15, axis=1)))
    note = f"{labels[0]} across ±{reach[0]:g}{unit}, {labels[1]} up ±{reach[1]:g}{unit}; {share:.0%} within 15{unit}"
    return Chart(title, _svg(drawn + _axis(-reach[0], reach[0], False), f"{title}: {note}"), note)


def bars(title: str, counts: Mapping[str, int], most: int = 12) -> Chart | None:
    """The largest of some named counts, one horizontal bar each."""
    if not counts:
        return None
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, top = ordered[:most], max(1, ordered[0][1])
    line = 17.0
    drawn = []
    for at, (name, count) in enumerate(shown):
        y, wide = at * line, max(1.0, 178.0 * count / top)
        short = name if len(name) <= 16 else name[:15] + "…"
        drawn.append(
            f'<text class="name" x="92" y="{y + 11:.0f}" text-anchor="end">{escape(short)}</text>'
            f'<rect class="kept" x="98" y="{y + 2:.0f}" width="{wide:.1f}" height="11"><title>{escape(name)}: {count}'
            f'</title></rect><text x="{102 + wide:.1f}" y="{y + 11:.0f}">{count:,}</text>'
        )
    more = len(ordered) - len(shown)
    note = f"{len(ordered):,} in all" + (f", the {len(shown)} largest shown" if more > 0 else "")
    return Chart(title, _svg(drawn, f"{title}: {note}", line * len(shown) + 2), note)


def _svg(parts: Sequence[str], said: str, height: float = HEIGHT + FOOT) -> Markup:
    """Callers escape what they did not write themselves."""
    body = "".join(parts)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(said, quote=True)}">'
        f"{body}</svg>"
    )


def _axis(low: float, high: float, whole: bool) -> list[str]:
    drawn = [f'<line class="axis" x1="0" x2="{WIDTH:.0f}" y1="{HEIGHT}" y2="{HEIGHT}"/>']
    for tick in _ticks(low, high, whole):
        x = WIDTH * (tick - low) / (high - low)
        anchor = "start" if x < 12 else "end" if x > WIDTH - 12 else "middle"
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT + 14:.0f}" text-anchor="{anchor}">{_figure(tick)}</text>')
    return drawn


def _ticks(low: float, high: float, whole: bool) -> list[float]:
    """About five round numbers between two ends."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _edges(values: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
    few = len(values) < 200
    low, high = (float(values.min()), float(values.max())) if few else np.percentile(values, (_TRIM, 100 - _TRIM))
    if whole and high - low < 4:
        low, high = low - 2, high + 2
    if whole and high - low < 2 * BINS:
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1.0)
    if high - low < 1e-9:
        low, high = low - max(0.5, abs(low) * 0.1), high + max(0.5, abs(high) * 0.1)
    bins = BINS if len(values) >= 60 else max(6, min(BINS, len(values)))
    return np.linspace(low, high, bins + 1)


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _figure(value: float) -> str:
    """Three digits, no exponent for what people read."""
    value = 0.0 if abs(value) < 1e-9 else value
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
