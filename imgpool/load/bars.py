"""Stacked bars as SVG text, in the manner of `charts`: every part carries its number, and a legend names the parts."""

from __future__ import annotations

from html import escape

LEFT, RIGHT, TOP = 20, 24, 42
BAR, GAP, LEGEND = 26, 50, 44
CHARACTER = 7.4


def stacked_bars(
    title: str, rows: list[tuple[str, list[int]]], parts: list[str], looks: list[int], size: tuple[int, int]
) -> str:
    """One bar for each row, `rows[i][1][k]` long in the part `parts[k]`, all to one scale."""
    width, height = size
    most = max((sum(values) for _, values in rows), default=0) or 1
    scale = (width - LEFT - RIGHT) / most
    drawn = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    y = TOP + 12
    for name, values in rows:
        drawn.append(f'<text class="tick" x="{LEFT}" y="{y - 4}">{escape(name)}</text>')
        x = float(LEFT)
        for value, look in zip(values, looks, strict=True):
            length = value * scale
            if value:
                drawn.append(f'<rect class="bar look{look}" x="{x:.1f}" y="{y}" width="{length:.1f}" height="{BAR}"/>')
            if length > CHARACTER * (len(str(value)) + 1):
                middle = x + length / 2
                drawn.append(f'<text class="inside middle" x="{middle:.1f}" y="{y + 18}">{value}</text>')
            x += length
        y += GAP
    x, y = float(LEFT), height - LEGEND
    for part, look in zip(parts, looks, strict=True):
        needed = 34 + CHARACTER * len(part)
        if x + needed > width:
            x, y = float(LEFT), y + 20
        drawn.append(f'<rect class="bar look{look}" x="{x:.0f}" y="{y}" width="12" height="12"/>')
        drawn.append(f'<text class="tick" x="{x + 17:.0f}" y="{y + 11}">{escape(part)}</text>')
        x += needed
    return "".join([*drawn, "</svg>"])
