"""Gradient wind: on every square the exact push of the gradient, and over it the pushes that batches of walks give.

    wind(exact, {"8 walks": eight, "128 walks": many})       (S, 4) and, to each title, (batches, S, 4)

A square has one arrow: the gradients of its four logits (up, down, left, right) added as moves, so that it points where
the policy is pushed. One batch after the other flickers; all of them stay as a pale cloud. Left out: walls.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .maze_figures import MOVES
from .moving import Film, Reel
from .style import ESTIMATE, EXACT, INK, number
from .svg import WIDTH, text

TOP = 58  # CSS pixels above the mazes


def pushes(gradient) -> np.ndarray:
    """(..., S, 4) gradients of logits as (..., S, 2) arrows: to the right and down."""
    return np.asarray(gradient, float) @ np.asarray(MOVES, float)


def wind(exact, batches: Mapping[str, np.ndarray], *, seconds: float = 8.0) -> Film:
    """Up to three mazes side by side, one for each kind of batch, with one scale: that of the calmest.

    exact: (S, 4), S a square number. batches: {title: (k, S, 4)}, as many of each, in the order in which they blow.
    """
    truth, all_of = pushes(exact), {title: pushes(some) for title, some in batches.items()}
    size, wide = round(len(truth) ** 0.5), WIDTH / len(batches) - 16
    side = min(wide / size, 62)
    reel = Reel(len(next(iter(all_of.values()))) - 1, seconds, hold=1)
    long = min(np.quantile(np.linalg.norm(some, axis=-1), 0.95) for some in all_of.values())
    parts, words = [], []
    for i, (title, some) in enumerate(all_of.items()):
        left = 8 + i * (wide + 16) + (wide - side * size) / 2
        off = np.sqrt(((np.asarray(batches[title]) - np.asarray(exact)) ** 2).sum((-1, -2)).mean())
        parts.append(text(left + side * size / 2, 20, title, INK, "middle", 15, bold=True))
        parts.append(text(left + side * size / 2, 42, f"typical error {number(off)}", INK, "middle", 14))
        words.append(f"{title}: typical error {number(off)}")
        for s, push in enumerate(truth):
            x, y = left + side * (s % size + 0.5), TOP + side * (s // size + 0.5)
            box = (
                f'x="{x - side / 2 + 1:.1f}" y="{y - side / 2 + 1:.1f}" width="{side - 2:.1f}" height="{side - 2:.1f}"'
            )
            parts.append(f'<rect {box} fill="#F1F3F6"/>')
            if s == len(truth) - 1:
                parts.append(text(x, y + 5, "G", INK, "middle", bold=True))
                continue
            tips = _cut(some[:, s] / long * side / 2, side / 2 - 4)
            cloud = "".join(f"M{x:.1f} {y:.1f}l{a:.1f} {b:.1f}" for a, b in tips)
            parts.append(f'<path d="{cloud}" stroke="{ESTIMATE}" stroke-opacity=".35" stroke-width="1.5"/>')
            moved = reel.move({"x2": x + tips[:, 0], "y2": y + tips[:, 1]})
            start = f'x1="{x:.1f}" y1="{y:.1f}"'
            parts.append(f'<line {start} stroke="{ESTIMATE}" stroke-width="3.5" marker-end="url(#e)"{moved}</line>')
            a, b = _cut(push / long * side / 2, side / 2 - 4)
            end = f'x2="{x + a:.1f}" y2="{y + b:.1f}" stroke="{EXACT}" stroke-width="2.5" marker-end="url(#t)"'
            parts.append(f"<line {start} {end}/>")
    height = TOP + side * size + 34
    for x, name, colour, says in (
        (10, "t", EXACT, "exact"),
        (130, "e", ESTIMATE, "one batch (pale: all of them), cut at the edge of its square"),
    ):
        parts.append(f'<path d="M{x} {height - 13}h24" stroke="{colour}" stroke-width="3" marker-end="url(#{name})"/>')
        parts.append(text(x + 40, height - 8, says, size=14))
    head = '<marker id="{}" viewBox="0 0 8 8" refX="3" refY="4" markerWidth="9" markerHeight="9" orient="auto" '
    head += 'markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" fill="{}"/></marker>'
    alt = f"Film of arrows on {len(truth)} squares, the exact gradient and batches around it. {'; '.join(words)}."
    return Film(parts, height, alt, defs=head.format("t", EXACT) + head.format("e", ESTIMATE))


def _cut(arrows, longest: float):
    """Arrows no longer than that, in their direction."""
    length = np.linalg.norm(arrows, axis=-1, keepdims=True)
    return arrows * np.minimum(1, longest / np.maximum(length, 1e-12))
