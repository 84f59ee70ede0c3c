"""A token strip: a text cut into its tokens, each a box coloured by one number; one of them is looked at closely.

    def draw(token, colour):
        return token_strip(tokens, numbers[colour], label=colour, roles=roles, selected=token)
    controls = {"token": slider("t token", 0, 9, 1, 0, integer=True), "colour": choice("colour", list(numbers), "V")}
    Panel(controls, draw, alt="Token {token} of the reply.")

An SVG string, for `Panel`: the browser's own fonts draw the letters, Chinese ones too; the mouse shows a token's
numbers, the slider's arrow keys reach every token. Roles: prompt, reply, end, pad. What is masked is crossed out.
"""

from __future__ import annotations

import html
import math

from .style import INK, MUTED, NEGATIVE, NEW, POSITIVE, number, readable
from .svg import MONO, WIDTH, places, svg, text

LINE, BOX, GAP, CHARACTER = 40, 24, 4, 8.2  # CSS pixels
SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥"}
MARKS = {"prompt": "grey line: prompt", "end": "blue line: end", "pad": "crossed out: padding"}  # of the roles


def token_strip(
    tokens, values, *, label: str, roles=None, mask=None, selected: int | None = None, details=(), low=None, high=None
) -> str:
    """tokens: their texts, a list. values: one number each; NaN: no colour. label: what the numbers are.

    roles: "prompt", "reply", "end" or "pad" of each. mask: false where nothing is learned. selected: the token with the
    frame, and `details` lines of text below about it. low, high: the numbers of the palest and the fullest colour; with
    low < 0 < high negative numbers are orange and positive ones green. ValueError if lengths differ.
    """
    roles, mask = roles or ["reply"] * len(tokens), [True] * len(tokens) if mask is None else list(mask)
    if not len(tokens) == len(values) == len(roles) == len(mask) > 0:
        lengths = ", ".join(str(len(each)) for each in (tokens, values, roles, mask))
        raise ValueError(f"tokens, values, roles and mask must have one length above 0; got {lengths}")
    finite = [v for v in values if math.isfinite(v)]
    low, high = min(finite, default=0.0) if low is None else low, max(finite, default=0.0) if high is None else high
    boxes, x, y = [], GAP, GAP
    for i, (token, value) in enumerate(zip(tokens, values)):
        shown = visible(token)
        width = max(16.0, 8 + CHARACTER * places(shown))
        if x + width > WIDTH:
            x, y = GAP, y + LINE
        look = {"colour": _colour(value, low, high), "role": roles[i], "kept": mask[i], "framed": i == selected}
        boxes.append(_box(x, y, width, shown, f"{label} {number(value)}", i, **look))
        x += width + GAP
    top = y + LINE + 12
    marks = [_legend(label, low, high) if finite else label, *(said for role, said in MARKS.items() if role in roles)]
    words = ["; ".join(marks), *details]
    lines = [text(GAP, top + 18 * i, line, INK if i else MUTED, size=13) for i, line in enumerate(words)]
    return svg(boxes + lines, top + 18 * len(words), font=MONO)


def _legend(label: str, low: float, high: float) -> str:
    """What the colours mean."""
    if low < 0 < high:
        return f"{label}: full orange {number(low)}, white 0, full green {number(high)}"
    return f"{label}: pale {number(low)}, full {number(high)}"


def visible(token: str) -> str:
    """A token's text with its white space made visible, and � for what no browser can draw.

    >>> visible(" my"), visible("\\n")
    ('␣my', '⏎')
    """
    return "".join(SHOWN.get(c, c if c.isprintable() else "�") for c in token) or "∅"


def _box(x, y, width, shown, said, place, *, colour, role, kept, framed) -> str:
    """One token: a box, its text, a mark for its role, and its number for the mouse."""
    edge, stroke = (INK, 2.5) if framed else (MUTED, 1)
    dash = ' stroke-dasharray="3 2"' if role == "pad" else ""
    said = f"{place}: {shown} ({role}{'' if kept else ', masked'}) {said}"
    parts = [
        f"<title>{html.escape(said)}</title>",
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX}" rx="3" fill="{colour if kept else "#FFFFFF"}" '
        f'stroke="{edge}" stroke-width="{stroke}"{dash}/>',
        f'<text x="{x + width / 2:.1f}" y="{y + 17}" font-size="14" text-anchor="middle" '
        f'fill="{INK if kept else readable(MUTED)}">{html.escape(shown)}</text>',
    ]
    if not kept:
        parts.append(f'<line x1="{x:.1f}" y1="{y + 12}" x2="{x + width:.1f}" y2="{y + 12}" stroke="{MUTED}"/>')
    if role in ("prompt", "end"):
        below = f'y="{y + BOX + 2}" height="3" fill="{NEW if role == "end" else MUTED}"'
        parts.append(f'<rect x="{x:.1f}" width="{width:.1f}" {below}/>')
    return f"<g>{''.join(parts)}</g>"


def _colour(value: float, low: float, high: float) -> str:
    """From white to a full colour: blue for numbers of one sign, orange and green around 0."""
    if not math.isfinite(value):
        return "#FFFFFF"
    if low < 0 < high:
        full, share = (POSITIVE, value / high) if value >= 0 else (NEGATIVE, value / low)
    else:
        full, share = NEW, (value - low) / (high - low) if high > low else 0.0
    share = 0.65 * min(1.0, max(0.0, share))  # never so dark that black letters drown
    mixed = (round(255 + (int(full[i : i + 2], 16) - 255) * share) for i in (1, 3, 5))
    return "#" + "".join(f"{c:02X}" for c in mixed)
