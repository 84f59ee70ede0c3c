"""Notebook 11: a language model at work, as SVG strings for `Panel`: the browser's fonts draw Chinese letters too.

`token_bars`: what may come next. `stretches`: the same laid end to end on [0, 1), and where the dice fell.
`shift_rows`: which column decides which token. `texts`: replies as lines; what does not fit ends in "…".
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from .style import ESTIMATE, INK, MUTED, NEW, OLD, number
from .svg import MONO, WIDTH, cut, places, svg, text, wrap
from .tokens import CHARACTER, visible

ARROW = f'stroke="{INK}" stroke-width="1.6" fill="none"'


def token_bars(tokens: Sequence[str], probs: Sequence[float], *, chosen: str | None = None, rest: float = 0.0) -> str:
    """Horizontal bars, the first on top. chosen: the token in orange. rest: the probability of all other tokens."""
    rows = [(visible(t), p, ESTIMATE if t == chosen else NEW) for t, p in zip(tokens, probs)]
    rows += [("all others", rest, MUTED)] if rest else []
    parts = []
    for i, (name, p, colour) in enumerate(rows):
        y = 6 + 24 * i
        said = f"<title>{html.escape(name)}: {p:.4f}</title>"
        bar = f'<rect x="150" y="{y}" width="{max(1.0, 500 * p):.1f}" height="17" rx="2" fill="{colour}"/>'
        parts.append(f"<g>{said}{text(142, y + 14, name, anchor='end')}{bar}")
        parts.append(f"{text(158 + 500 * p, y + 14, f'{p:.3f}')}</g>")
    return svg(parts, 12 + 24 * len(rows), font=MONO)


def stretches(tokens: Sequence[str], probs: Sequence[float], u: float, chosen: int) -> str:
    """All probabilities end to end on [0, 1), in the order of the ids, with the number u; chosen: the token it hit."""
    parts, x, names = [], 4.0, []
    scale = (WIDTH - 8) / sum(probs)
    for i, (token, p) in enumerate(zip(tokens, probs)):
        width, name = scale * p, visible(token)
        if width >= 0.5 or i == chosen:
            colour = ESTIMATE if i == chosen else OLD if i % 2 else "#CFE8F7"
            said = f"<title>{html.escape(name)}: {p:.4f}</title>"
            parts.append(
                f'<g>{said}<rect x="{x:.1f}" y="24" width="{max(1.5, width):.1f}" height="26" fill="{colour}" '
                f'stroke="white" stroke-width="0.6"/></g>'
            )
            if width > 10 + CHARACTER * places(name):
                names.append(text(x + width / 2, 42, name, anchor="middle"))
        x += width
    at = 4 + u * (WIDTH - 8)
    needle = f"M{at:.1f} 52 V20 M{at - 5:.1f} 60 L{at:.1f} 51 L{at + 5:.1f} 60 Z"
    needle = f'<path d="{needle}" stroke="{INK}" fill="{INK}"/>'
    anchor = "start" if u < 0.1 else "end" if u > 0.9 else "middle"
    label = text(min(max(at, 4), WIDTH - 4), 14, f"u = {u:.3f}", anchor=anchor)
    return svg([*parts, *names, needle, label], 64, font=MONO)


def shift_rows(tokens: Sequence[str], prompt_length: int, t: int, logps: Sequence[float]) -> str:
    """Top: the columns as the model reads them. Bottom: the token that each column's output decides. t: the one shown.

    tokens: the prompt's last `prompt_length` ones, then the reply's (as many as fit are drawn). logps: of the reply's.
    """
    here, names = prompt_length - 1 + t, [visible(token) for token in tokens]
    parts, x = [text(4, 42, "reads", MUTED), text(4, 126, "decides", MUTED)], 72.0
    for i, name in enumerate(names):
        decided = names[i + 1] if prompt_length - 1 <= i < len(names) - 1 else ""
        width = max(24.0, 8 + CHARACTER * max(places(name), places(decided)))
        if x + width > WIDTH:
            break
        place = f"P−{prompt_length - i}" if i < prompt_length else f"P+{i - prompt_length}"
        parts.append(text(x + width / 2, 16, place, INK if i == here else MUTED, "middle", 11))
        parts.append(_box(x, 24, width, name, "#F1F2F4" if i < prompt_length else "#CFE8F7", i == here))
        if decided:
            parts.append(_box(x, 108, width, decided, "#F6C453" if i == here else "#FFFFFF", i == here))
        if i == here:
            m, score = x + width / 2, f"log p = {number(logps[t])}"
            parts.append(f'<path d="M{m:.1f} 52 V104 M{m - 5:.1f} 97 L{m:.1f} 104 L{m + 5:.1f} 97" {ARROW}/>')
            left = m > WIDTH / 2
            parts.append(text(m - 10 if left else m + 10, 83, score, anchor="end" if left else "start"))
        x += width + 4
    return svg(parts, 140, font=MONO)


def texts(rows: Sequence[tuple[str, str, str]], *, title: str = "", lines: int = 2) -> str:
    """Blocks of (question, reply, note): the question grey, the reply in at most `lines` lines, the note at its end."""
    parts, y = ([text(4, 18, title, size=15)], 34) if title else ([], 6)
    for question, reply, note in rows:
        parts.append(text(4, y + 14, cut(question, max(20, 94 - places(note))), MUTED, size=13))
        for i, line in enumerate(wrap(reply or "(nothing)", 74, lines)):
            parts.append(text(22, y + 34 + 19 * i, line))
        parts.append(text(WIDTH - 6, y + 14, note, NEW, "end", 13))
        y += 34 + 19 * lines
    return svg(parts, y + 4, font=MONO)


# ---- pieces ------------------------------------------------------------------------------------------------------


def _box(x: float, y: int, width: float, words: str, fill: str, framed: bool) -> str:
    edge, stroke = (INK, 2.2) if framed else (MUTED, 0.8)
    box = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="26" rx="3" fill="{fill}" stroke="{edge}" '
    return f'{box}stroke-width="{stroke}"/>{text(x + width / 2, y + 18, words, anchor="middle")}'
