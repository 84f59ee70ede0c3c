"""Stop the run: six numbers of a training tick along, each with a lamp that lights where healthy runs never were.

    lamps(values, bands, at=7)                    an SVG string for `Panel` or `Replay`: the first 7 updates
    lamps(values, bands, at=7, sick=True)         stopped there: what it was, and what stopping was worth

Once lit, a lamp stays lit. Whether to stop is the reader's to say: a lamp may err, and a sick run may light none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .style import INK, MUTED, NEGATIVE, NEW, POSITIVE, number
from .svg import WIDTH, svg, text

WIDE, HIGH, PLOT = WIDTH / 3, 118, 60  # CSS pixels: the room of a number, and its plot's height


def lit_at(values: Mapping, bands: Mapping) -> dict[str, int | None]:
    """The update, counted from 1, at which each lamp lights: the first number outside its band. None: it never does."""
    found = {}
    for name, ys in values.items():
        low, high = (np.asarray(edge, float) for edge in bands[name])
        outside = (np.asarray(ys, float) < low) | (np.asarray(ys, float) > high)  # NaN, no number: neither
        found[name] = int(outside.argmax()) + 1 if outside.any() else None
    return found


def lamps(values: Mapping, bands: Mapping, at: int, sick: bool | None = None) -> str:
    """values: {title: (n,)}, one number an update. bands: {title: (low (n,), high (n,))}, where healthy runs are.

    at: updates done, from 1 to n. sick: None while it runs; once stopped, whether the run was ill.
    """
    lights, parts, last = lit_at(values, bands), [], len(next(iter(values.values())))
    for i, (name, ys) in enumerate(values.items()):
        left, top = 8 + WIDE * (i % 3), 8 + HIGH * (i // 3)
        band, ys = np.asarray(bands[name], float), np.asarray(ys, float)
        everything = np.concatenate([ys, band.ravel()])
        low, high = np.nanmin(everything), np.nanmax(everything)
        x = left + 4 + (WIDE - 32) * np.arange(last) / max(last - 1, 1)

        def up(y, top=top, low=low, high=high):
            return top + 30 + PLOT - PLOT * (np.asarray(y) - low) / ((high - low) or 1.0)

        lit = lights[name] is not None and lights[name] <= at
        area = "L".join([*_points(x, up(band[0])), *_points(x[::-1], up(band[1])[::-1])])
        real = np.isfinite(ys[:at])
        line = " ".join(_points(x[:at][real], up(ys[:at][real])))
        colour = NEGATIVE if lit else NEW
        size = f'width="{WIDE - 12:.1f}" height="{HIGH - 10}"'
        parts.append(f'<rect x="{left - 4:.1f}" y="{top - 4}" {size} rx="8" fill="#fff" stroke="#D5DAE2"/>')
        parts.append(
            f'<circle cx="{left + 12:.1f}" cy="{top + 12}" r="8" fill="{colour if lit else "#E7E9ED"}" stroke="{INK}"/>'
        )
        parts.append(text(left + 27, top + 17, name, INK, bold=lit, size=13.5))
        now = ys[at - 1]
        parts.append(text(left + WIDE - 24, top + 17, number(now) if np.isfinite(now) else "–", INK, "end", 13.5))
        parts.append(f'<path d="M{area}z" fill="#E3E6EB"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
    n = sum(k is not None and k <= at for k in lights.values())
    words, colour = {
        None: (f"update {at} of {last}, {n} of {len(values)} lamps lit", INK),
        True: (f"stopped after update {at}: it was sick. {last - at} updates saved", POSITIVE),
        False: (f"stopped after update {at}: it was healthy. {last - at} updates of a good run lost", NEGATIVE),
    }[sick]
    bottom = 8 + HIGH * -(-len(values) // 3) + 18
    parts.append(text(8, bottom, words, colour, size=16, bold=True))
    parts.append(text(8, bottom + 22, "grey: where healthy runs are; orange: it has been outside", MUTED, size=13.5))
    return svg(parts, bottom + 36)


def _points(x, y) -> list[str]:
    return [f"{a:.1f} {b:.1f}" for a, b in zip(x, y)]
