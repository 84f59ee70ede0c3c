"""Notebook 12: one reply before two judges. The text, each judge's line of numbers, and the sum that one of them shows.

    def draw(reply):
        judges = [Judge("reward model", score, (-3, 3), NEW, others), Judge("gold", worth, (-8, 5), EXACT, others)]
        return reply_card(question, reply, judges, table=rows)
    Panel({"reply": text("reply", "Hello!")}, draw, alt="...")

An SVG string, for `Panel`: the browser's own fonts draw the letters, Chinese ones too. Its size never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .style import INK, MUTED
from .svg import WIDTH, places, svg, text, wrap

HEIGHT, LEFT, LINE = 330, 400, 17  # CSS pixels
CHARACTER = 7.4  # width of a letter of 14 px; a Chinese one takes two


@dataclass(frozen=True)
class Judge:
    """One line of numbers. others: what other replies got, drawn as ticks. wanted: the interval to be tinted."""

    name: str
    value: float
    limits: tuple[float, float]
    colour: str
    others: Sequence[float] = ()
    wanted: tuple[float, float] | None = None


def reply_card(question: str, reply: str, judges: Sequence[Judge], table: Sequence[str] = ()) -> str:
    """Question, reply, one line of numbers a judge on the left, the lines of `table` on the right."""
    parts = _bubble(question, 8, 6, 2, "#EEF0F3") + _bubble(reply or "(nothing)", 40, 58, 4, "#DCEBF7")
    top = 156
    for i, judge in enumerate(judges):
        parts += _scale(judge, top + 92 * i)
    for i, row in enumerate(table[:12]):
        parts.append(text(LEFT + 24, top + 2 + 15 * i, row, size=11.5, bold=i == len(table) - 1, mono=True))
    return svg(parts, HEIGHT)


def _bubble(words: str, x: int, y: int, lines: int, colour: str) -> list[str]:
    rows = wrap(words, 92, lines)
    width = max(60, min(WIDTH - x - 8, 24 + CHARACTER * max(map(places, rows))))
    box = f'<rect x="{x}" y="{y}" width="{width:.0f}" height="{14 + LINE * len(rows)}" rx="9" fill="{colour}"/>'
    return [box] + [text(x + 12, y + 20 + LINE * i, row) for i, row in enumerate(rows)]


def _scale(judge: Judge, y: int) -> list[str]:
    """A line of numbers with its name above, ticks for other replies, and a marker at the value."""
    low, high = judge.limits
    start, span = 22, LEFT - 52

    def place(value):
        return start + span * (min(high, max(low, value)) - low) / (high - low)

    axis = y + 42
    parts = []
    if judge.wanted:
        a, b = map(place, judge.wanted)
        box = f'x="{a:.1f}" y="{axis - 22}" width="{b - a:.1f}" height="22"'
        parts.append(f'<rect {box} fill="{judge.colour}" opacity="0.13"/>')
    look = f'stroke="{MUTED}" stroke-width="1" opacity="0.35"'
    for x in map(place, judge.others):
        parts.append(f'<line x1="{x:.1f}" y1="{axis - 2}" x2="{x:.1f}" y2="{axis - 13}" {look}/>')
    parts.append(f'<line x1="{start}" y1="{axis}" x2="{start + span}" y2="{axis}" stroke="{INK}" stroke-width="1.2"/>')
    for tick in range(round(low), round(high) + 1, 1 if high - low < 8 else 2):
        parts.append(text(place(tick), axis + 15, str(tick).replace("-", "−"), MUTED, "middle", 11))
    x = place(judge.value)
    parts.append(f'<path d="M {x:.1f} {axis - 1} l -8 -16 l 16 0 z" fill="{judge.colour}"/>')
    said = f"{judge.name}: {judge.value:+.2f}".replace("-", "−")
    parts.append(text(start, y + 8, said, judge.colour, bold=True))
    return parts
