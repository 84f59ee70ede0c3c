"""The leash map: hills of J, home, yesterday and now, and what may be reached from yesterday, moving with training.

    leash(J, ways, heights, {"KL ball": balls}, edge=3, names=("logit of right, start", "logit of right, end"))

A plane of two parameters, seen from above. Each region is a border around the policy of that update, from which the
next one is chosen. Left out: all other parameters, which stand still.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .moving import Film, Reel
from .style import INK, MUTED, NEW, OLD, REFERENCE, figure, number
from .svg import text

SIDE, LEFT, TOP = 400, 12, 12  # CSS pixels: the map


def leash(J, ways, heights, regions: Mapping[str, np.ndarray], *, edge: float, names: tuple[str, str]) -> Film:
    """A training on the map.

    J: (n, n), a row for each value of the second; both from -edge to edge. ways: (k + 1, 2), home first. heights: J
    there. regions: {title: (k + 1, m, 2)}, one or two: the border around each policy. names: of the two parameters.
    """
    ways, J, scale = np.asarray(ways, float), np.asarray(J, float), SIDE / (2 * edge)
    reel, before = Reel(len(ways) - 1, 0.7 * len(ways)), np.maximum(np.arange(len(ways)) - 1, 0)

    def place(points):
        return np.asarray(points, float) * [scale, -scale] + [LEFT + SIDE / 2, TOP + SIDE / 2]

    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="#fff" stroke="#B4B9C1"/>']
    grid = np.linspace(-edge, edge, len(J))
    hills = figure()[1].contour(grid, grid, J, levels=12)
    for level, lines in zip(hills.levels, hills.allsegs):
        d, shade = "".join(f"M{_line(place(line))}" for line in lines), (level - J.min()) / (J.max() - J.min())
        parts.append(f'<path d="{d}" fill="none" stroke="{MUTED}" stroke-opacity="{0.25 + 0.65 * shade:.2f}"/>')
    key = [(NEW, "now"), (OLD, "yesterday: collected the data"), (REFERENCE, "home, and the leash to it")]
    for (title, borders), colour in zip(regions.items(), (OLD, INK)):
        moved = reel.move({"points": place(borders)[before]})
        look = f'fill="{colour}" fill-opacity=".15" stroke="{colour}" stroke-width="2"'
        parts.append(f"<polygon {look}{moved}</polygon>")
        key.append((colour, title))
    home, here, old = place(ways[0]), place(ways), place(ways[before])
    start = f'x1="{home[0]:.1f}" y1="{home[1]:.1f}" stroke="{REFERENCE}" stroke-width="2.5"'
    parts.append(f"<line {start}{reel.move({'x2': here[:, 0], 'y2': here[:, 1]})}</line>")
    parts.append(f'<path d="M{_line(here)}" fill="none" stroke="{NEW}" stroke-dasharray="2 3"/>')
    parts.append(f'<circle cx="{home[0]:.1f}" cy="{home[1]:.1f}" r="7" fill="{REFERENCE}"/>')
    for xy, colour, radius in ((old, OLD, 6), (here, NEW, 8)):
        moved = reel.move({"cx": xy[:, 0], "cy": xy[:, 1]})
        parts.append(f'<circle r="{radius}" fill="{colour}" stroke="#fff"{moved}</circle>')
    for i, (colour, title) in enumerate(key):
        mark = f'<circle cx="440" cy="{115 + 30 * i}" r="7" fill="{colour}"/>'
        size = f'x="432" y="{107 + 30 * i}" width="16" height="16"'
        box = f'<rect {size} fill="{colour}" fill-opacity=".15" stroke="{colour}"/>'
        parts.append((box if i > 2 else mark) + text(458, 120 + 30 * i, title, size=14))
    parts.append(text(432, 130 + 30 * len(key), "lines: equal J, darker is higher", size=14))
    for k, height in enumerate(heights):
        parts.append(reel.only(k, text(432, 60, f"update {k}: J = {number(height)}", INK, size=18, bold=True)))
    parts.append(text(LEFT + SIDE / 2, TOP + SIDE + 22, f"across: {names[0]}; up: {names[1]}", INK, "middle", 14))
    alt = f"Film of {len(ways) - 1} updates on a map of two parameters: J rises from {number(heights[0])} to "
    return Film(parts, TOP + SIDE + 34, f"{alt}{number(heights[-1])}. Around yesterday's policy: {', '.join(regions)}.")


def _line(points) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
