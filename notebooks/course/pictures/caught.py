"""The clip catches them: every sample of one update as a dot, ratio across, advantage up, step after step.

    caught({"plain": (ratios, None), "clip": (clipped, 0.2)}, A)       (steps + 1, n) each, and (n,)

A dot with an arrow is still pulled, to the right if A > 0, else to the left. Where clipping takes its gradient it turns
grey and loses the arrow; what moves grey dots on is others. Left out: how hard each is pulled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .moving import Film, Reel
from .style import INK, MUTED, NEGATIVE, POSITIVE
from .svg import WIDTH, text

HIGH, TOP, BOTTOM, FAR = 330, 66, 282, 2.5  # CSS pixels: the picture, its plots; the largest ratio on the axis
ARROW = '<g id="{}" fill="{}" stroke="{}"><circle r="2.8"/><path d="M0 0H{}m{} -3l{} 3l{} 3" fill="none"/></g>'
DEFS = ARROW.format("p", POSITIVE, POSITIVE, 10, -3, 3, -3) + ARROW.format("n", NEGATIVE, NEGATIVE, -10, 3, -3, 3)
DEFS += f'<circle id="f" r="3" fill="{MUTED}" stroke="#fff" stroke-width=".5"/>'


def caught(runs: Mapping[str, tuple], A, *, seconds: float = 7.0) -> Film:
    """Up to three updates side by side, on the same samples.

    runs: {title: (ratios, eps)}: ratios (steps + 1, n) before the first step and after each, eps the half width of the
    fence, or None where nothing is clipped. An update that ended early stands still. A: (n,) advantages.
    """
    A, last = np.asarray(A, float), max(len(ratios) for ratios, _ in runs.values()) - 1
    reel, scale, parts, words = Reel(last, seconds), np.abs(A).max() * 1.05, [], []
    for i, (title, (ratios, eps)) in enumerate(runs.items()):
        ratios = np.asarray(ratios, float)
        steps, left = len(ratios) - 1, 8 + i * WIDTH / 3
        ratios = np.concatenate([ratios, np.repeat(ratios[-1:], last - steps, 0)])
        gone = frozen(ratios, A, eps)
        x = left + 236 * np.minimum(ratios, FAR) / FAR
        y = (TOP + BOTTOM) / 2 - (BOTTOM - TOP) / 2 * A / scale
        parts.append(_ground(left, title, eps))
        for k in range(last + 1):
            n = f"step {min(k, steps)}" + (", stopped" if k > steps else "") + f": {gone[k].mean():.0%} caught"
            parts.append(reel.only(k, text(left + 118, 44, n, INK, "middle", 14)))
        for j in range(len(A)):
            state = ["#f" if g or A[j] == 0 else "#p" if A[j] > 0 else "#n" for g in gone[:, j]]
            moved = reel.move({"x": x[:, j], "href": state})
            parts.append(f'<use y="{y[j]:.1f}"{moved}</use>')
        words.append(f"{title}: after {steps} steps {gone[-1].mean():.0%} have lost their gradient")
    parts.append(_key())
    alt = (
        f"Film of {len(A)} samples in one update, ratio across, advantage up. All begin at ratio 1. {'; '.join(words)}."
    )
    return Film(parts, HIGH, alt, defs=DEFS)


def frozen(ratios, A, eps: float | None):
    """Which samples have no gradient of their own: those beyond the fence on the side that A pulls to."""
    if eps is None:
        return np.zeros(np.shape(ratios), bool)
    return np.where(np.asarray(A) > 0, ratios > 1 + eps, (ratios < 1 - eps) & (np.asarray(A) < 0))


def _ground(left: float, title: str, eps: float | None) -> str:
    middle, x = (TOP + BOTTOM) / 2, [left + 236 * r / FAR for r in (0, 1 - (eps or 0), 1 + (eps or 0), FAR)]
    parts = [text(left + 118, 22, title, INK, "middle", 15, bold=True)]
    if eps is not None:
        for a, b, y in ((x[2], x[3], TOP), (x[0], x[1], middle)):
            size = f'width="{b - a:.1f}" height="{middle - TOP:.1f}"'
            parts.append(f'<rect x="{a:.1f}" y="{y}" {size} fill="#DDE0E5"/>')
        for a, name in ((x[1], "1 − ε"), (x[2], "1 + ε")):
            parts.append(f'<path d="M{a:.1f} {TOP}V{BOTTOM}" stroke="{INK}" stroke-dasharray="2 3"/>')
            side = ("end", 6) if a == x[1] else ("start", -6)
            parts.append(text(a + side[1], BOTTOM + 16, name, INK, side[0], 13.5))
        for a, y in ((x[1] - 8, TOP + 15), (x[2] + 8, BOTTOM - 8)):
            parts.append(text(a, y, "open", MUTED, "end" if a < x[2] else "start", 13.5))
    else:
        parts.append(f'<path d="M{x[1]:.1f} {TOP}V{BOTTOM}" stroke="{MUTED}" stroke-width=".8"/>')
        parts.append(text(x[1], BOTTOM + 16, "1", INK, "middle", 13.5))
    parts.append(f'<path d="M{left} {middle}H{x[3]}M{left} {BOTTOM}H{x[3]}" stroke="{INK}" stroke-width=".8"/>')
    parts.append(text(x[3], BOTTOM + 16, f"ratio {FAR:g}", INK, "end", 13.5))
    return "".join(parts)


def _key() -> str:
    items = (
        (8, "p", "A > 0, pulled right"),
        (212, "n", "A < 0, pulled left"),
        (404, "f", "caught: no pull of its own"),
    )
    parts = [
        f'<use href="#{name}" x="{x + 10}" y="318"/>' + text(x + 26, 323, words, size=13.5) for x, name, words in items
    ]
    return (
        "".join(parts)
        + '<rect x="640" y="309" width="22" height="17" fill="#DDE0E5"/>'
        + text(668, 323, "no gradient", size=13.5)
    )
