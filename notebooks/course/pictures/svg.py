"""The pieces of every SVG picture: its head, and a line of text.

    svg([f'<rect .../>', text(8, 20, "two models learn", NEW, bold=True)], 60)

The browser's own fonts draw the letters, Chinese ones too. The picture brings its own white ground, because its inks
are dark whatever theme the page has; letters are dark enough to read on it. Left out: shapes, which each picture draws.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from .style import INK, readable

WIDTH = 760  # CSS pixels
SANS = 'font-family="DejaVu Sans, Verdana, Noto Sans CJK SC, sans-serif"'
MONO = 'font-family="DejaVu Sans Mono, Menlo, Consolas, Noto Sans CJK SC, monospace"'


def svg(parts: Sequence[str], height: float, *, font: str = SANS) -> str:
    """A picture WIDTH x height CSS pixels from its parts; `font`: SANS or MONO, for the texts that name none."""
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    look = 'style="max-width:100%;height:auto;background:#fff"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look} {font}>{"".join(parts)}</svg>'


def text(
    x: float,
    y: float,
    words: str,
    colour: str = INK,
    anchor: str = "start",
    size: float = 14,
    *,
    bold: bool = False,
    mono: bool = False,
) -> str:
    """One line of text from (x, y) on. anchor: "start", "middle" or "end". size: CSS pixels.

    `colour` is darkened until it can be read on white and on pale colours. A model may write any byte: what cannot be
    drawn becomes �.
    """
    drawable = "".join(c if c.isprintable() else "�" for c in words)
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{readable(colour)}"{weight} '
        f'{MONO if mono else ""} xml:space="preserve">{html.escape(drawable)}</text>'
    )
