"""Line charts as SVG text: small, without a script, in light and dark, and not told by colour alone.

Series differ in dash or marker as well, and each is named at its end. The colours come from `chart_css`, so that the
same drawing suits a page in both modes and, with `light_css`, a PNG.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

Point = tuple[float, float | None]

LIGHT = {"ink": "#1f2937", "faint": "#6b7280", "grid": "#e5e7eb", "paper": "#ffffff"}
DARK = {"ink": "#e5e7eb", "faint": "#9ca3af", "grid": "#374151", "paper": "#111827"}
LIGHT_LINES = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#4b5563")
DARK_LINES = ("#7ab0ff", "#ff9d5c", "#5fd38d", "#c99cff", "#b6bdc9")
DASHES = ("", "7 4", "2 3", "10 3 2 3", "1 5")
LEFT, RIGHT, TOP, BOTTOM = 64, 118, 42, 40
LABEL_GAP = 15


@dataclass(frozen=True)
class Line:
    """A series. Points in order of x; a y of None is a gap. `look` chooses colour, dash and marker."""

    name: str
    points: list[Point]
    look: int


def line_chart(
    title: str,
    lines: list[Line],
    *,
    x_name: str,
    y_format: Callable[[float], str] = lambda y: f"{y:g}",
    x_labels: dict[float, str] | None = None,
    log_y: bool = False,
    at_least: float = 0.0,
    size: tuple[int, int] = (720, 260),
) -> str:
    """One chart as an `<svg>` element. With `x_labels` the x axis has just these places, evenly apart.

    The y axis begins at 0 and goes to `at_least` or beyond; with `log_y` it has the powers of ten that there are.
    """
    width, height = size
    places = {x: number for number, x in enumerate(sorted(x_labels))} if x_labels else None
    drawn = [Line(line.name, [((places[x] if places else x), y) for x, y in line.points], line.look) for line in lines]
    xs = [x for line in drawn for x, _ in line.points] or [0.0]
    ys = [y for line in drawn for _, y in line.points if y is not None] or [0.0]
    x_ticks = {float(places[x]): label for x, label in x_labels.items()} if places and x_labels else _ticks(max(xs))
    x_top = max(max(x_ticks), max(xs), 1e-9)
    y_ticks = _log_ticks(ys) if log_y else list(_ticks(max([at_least, *ys])))
    low, high = y_ticks[0], max(y_ticks[-1], 1e-9)
    inner_w, inner_h = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at_x(x: float) -> float:
        return LEFT + (0.04 + 0.92 * x / x_top if places else x / x_top) * inner_w

    def at_y(y: float) -> float:
        share = math.log(max(y, low) / low) / math.log(high / low) if log_y else y / high
        return TOP + (1 - share) * inner_h

    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    for y in y_ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {at_y(y):.1f}H{width - RIGHT}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 8}" y="{at_y(y) + 4:.1f}">{escape(y_format(y))}</text>')
    for x, label in x_ticks.items():
        parts.append(f'<text class="tick middle" x="{at_x(x):.1f}" y="{height - BOTTOM + 16}">{escape(label)}</text>')
    parts.append(f'<text class="tick middle" x="{LEFT + inner_w / 2:.0f}" y="{height - 6}">{escape(x_name)}</text>')
    few = places is not None
    for line in drawn:
        parts.append(_path(line, at_x, at_y, few))
    parts += _end_labels(drawn, at_x, at_y, size)
    parts.append("</svg>")
    return "".join(parts)


def _path(line: Line, at_x: Callable[[float], float], at_y: Callable[[float], float], few: bool) -> str:
    steps, pen_up, marks = [], True, []
    for x, y in line.points:
        if y is None:
            pen_up = True
            continue
        steps.append(f"{'M' if pen_up else 'L'}{at_x(x):.1f} {at_y(y):.1f}")
        pen_up = False
        if few:
            marks.append(_marker(line.look, at_x(x), at_y(y)))
    path = f'<path class="line look{line.look}" d="{"".join(steps)}"/>' if steps else ""
    return path + "".join(marks)


def _marker(look: int, x: float, y: float) -> str:
    kind = f'class="mark look{look}"'
    if look % 3 == 0:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if look % 3 == 1:
        return f'<rect {kind} x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    return f'<path {kind} d="M{x:.1f} {y - 5:.1f}l5 9h-10z"/>'


def _end_labels(
    lines: list[Line], at_x: Callable[[float], float], at_y: Callable[[float], float], size: tuple[int, int]
) -> list[str]:
    """Each line's name beside its end, moved apart where they would lie on each other."""
    width, height = size
    ends = []
    for line in lines:
        shown = [(x, y) for x, y in line.points if y is not None]
        if shown:
            ends.append((at_y(shown[-1][1]), at_x(shown[-1][0]), line))
    ends.sort(key=lambda end: end[0])
    parts: list[str] = []
    places: list[float] = []
    below = float(height - BOTTOM + LABEL_GAP)
    for y, _, _ in reversed(ends):  # from the lowest up: the last line's end is often on the axis
        below = min(y, below - LABEL_GAP)
        places.insert(0, below)
    for (y, x, line), label_y in zip(ends, places, strict=True):
        label_x = width - RIGHT + 10
        if label_x - x > 24 or abs(label_y - y) > 3:
            parts.append(f'<path class="leader" d="M{x + 6:.1f} {y:.1f}L{label_x - 4} {label_y:.1f}"/>')
        parts.append(
            f'<text class="name look{line.look}" x="{label_x}" y="{label_y + 4:.1f}">{escape(line.name)}</text>'
        )
    return parts


def _ticks(most: float, wanted: int = 5) -> dict[float, str]:
    """Round numbers from 0 to `most` or a little beyond, with how they are written."""
    if most <= 0:
        return {0.0: "0", 1.0: "1"}
    rough = most / wanted
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(each * unit for each in (1, 2, 2.5, 5, 10) if each * unit >= rough)
    return {number * step: f"{number * step:g}" for number in range(math.ceil(most / step - 1e-9) + 1)}


def _log_ticks(ys: list[float]) -> list[float]:
    positive = [y for y in ys if y > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def side_by_side(charts: list[str], columns: int, size: tuple[int, int], heading: str, notes: list[str]) -> str:
    """Charts of one size in a grid with a heading above and notes below, as one `<svg>` with a paper behind it."""
    width, height = size
    rows = -(-len(charts) // columns)
    top, bottom = 56, 16 + 20 * len(notes)
    full = (columns * width + 32, top + rows * height + bottom)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full[0]} {full[1]}" width="{full[0]}" '
        f'height="{full[1]}"><rect class="paper" width="{full[0]}" height="{full[1]}"/>'
        f'<text class="heading" x="24" y="36">{escape(heading)}</text>'
    ]
    for number, chart in enumerate(charts):
        x, y = 16 + number % columns * width, top + number // columns * height
        parts.append(chart.replace("<svg ", f'<svg x="{x}" y="{y}" ', 1))
    for number, note in enumerate(notes):
        parts.append(f'<text class="tick" x="24" y="{top + rows * height + 20 + 20 * number}">{escape(note)}</text>')
    return "".join([*parts, "</svg>"])


def chart_css() -> str:
    """The style sheet for a page: light, and dark where the reader has it so."""
    return f"{light_css()}@media (prefers-color-scheme: dark) {{{_css(DARK, DARK_LINES)}}}"


def light_css() -> str:
    """The style sheet for a picture."""
    return _css(LIGHT, LIGHT_LINES)


def _css(tones: dict[str, str], lines: tuple[str, ...]) -> str:
    rules = [
        f".bar{{stroke:{tones['paper']};stroke-width:1}}.inside{{fill:{tones['paper']};font-weight:600}}",
        "svg text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px}",
        f".title{{font-size:15px !important;font-weight:600;fill:{tones['ink']}}}",
        f".heading{{font-size:21px !important;font-weight:600;fill:{tones['ink']}}}",
        f".tick{{fill:{tones['faint']}}}.paper{{fill:{tones['paper']}}}",
        ".end{text-anchor:end}.middle{text-anchor:middle}.name{font-weight:600}",
        f".grid{{stroke:{tones['grid']};stroke-width:1}}.line{{fill:none;stroke-width:2.2;stroke-linejoin:round}}",
        f".leader{{stroke:{tones['faint']};stroke-width:0.8;fill:none}}",
    ]
    for look, (colour, dash) in enumerate(zip(lines, DASHES, strict=True)):
        rules.append(f".line.look{look}{{stroke:{colour};stroke-dasharray:{dash or 'none'}}}")
        rules.append(f".mark.look{look},.name.look{look},.bar.look{look}{{fill:{colour}}}")
    return "".join(rules)
