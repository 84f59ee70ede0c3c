"""Replies side by side: what two models say to the same prompts, each with its score and what it is worth.

    side_by_side("before", "after", [(prompt, (reply, score, gold), (reply, score, gold)), ...])

An SVG string, for `Panel`. Left out: whole long replies; what does not fit ends in "…".
"""

from __future__ import annotations

from collections.abc import Sequence

from .style import INK, MUTED, NEW
from .svg import WIDTH, cut, svg, text, wrap


def side_by_side(left: str, right: str, pairs: Sequence[tuple[str, tuple, tuple]], *, lines: int = 3) -> str:
    """Replies to the same prompts in two columns. pairs: (prompt, (reply, score, gold), the same again).

    left, right: what the columns are. lines: at most, of one reply.
    """
    half, y = WIDTH / 2, 34
    parts = [text(14, 20, left, MUTED, bold=True), text(14 + half, 20, right, NEW, bold=True)]
    for prompt, *answers in pairs:
        parts.append(text(4, y + 14, cut(prompt, 84), INK, size=13, bold=True))
        for column, (reply, score, gold) in enumerate(answers):
            x, fill = 4 + column * half, ("#EEF0F3", "#DCEBF7")[column]
            size = f'width="{half - 10}" height="{18 * lines + 28}"'
            parts.append(f'<rect x="{x}" y="{y + 22}" {size} rx="8" fill="{fill}"/>')
            for i, row in enumerate(wrap(reply or "(nothing)", 46, lines)):
                parts.append(text(x + 10, y + 42 + 18 * i, row, size=13.5))
            said = verdict(score, gold)
            parts.append(text(x + half - 20, y + 42 + 18 * lines, said, INK, "end", 12.5))
        y += 18 * lines + 62
    return svg(parts, y)


def verdict(score: float, gold: float) -> str:
    """Two numbers in words, with true minus signs."""
    return f"score {score:+.2f}   gold {gold:+.2f}".replace("-", "−")
