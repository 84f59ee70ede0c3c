"""The pieces of every SVG picture: its head, a line of text, and how words find room in lines.

    svg([f'<rect .../>', text(8, 20, "two models learn", NEW, bold=True)], 60)
    wrap("a long reply ...", 74, 2)          two lines; what does not fit ends in "…"
    stack(svg_one, svg_two)                  one below the other

The browser's own fonts draw the letters, Chinese ones too. The picture brings its own white ground, because its inks
are dark whatever theme the page has; letters are dark enough to read on it. A letter has one place in a line, a Chinese
one two. Left out: shapes, which each picture draws, and the true widths of letters, which only the browser knows.
"""

from __future__ import annotations

import html
import re
import unicodedata
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
    x: float, y: float, words: str, colour: str = INK, anchor: str = "start", size=14, *, bold=False, mono=False
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


def stack(*pictures: str, height: int | None = None) -> str:
    """SVG strings below each other in one. height: the least of the whole, so that the page does not jump."""
    parts, y = [], 0
    for picture in pictures:
        parts.append(picture.replace("<svg ", f'<svg y="{y}" ', 1))
        y += int(re.search(r'height="(\d+)"', picture)[1])
    return svg(parts, max(y, height or 0), font=MONO)


# ---- room for words --------------------------------------------------------------------------------------------------


def places(words: str) -> int:
    """How many places of a line the words take: one a letter, two a Chinese one.

    >>> places("Hi"), places("您好")
    (2, 4)
    """
    return sum(2 if _wide(c) else 1 for c in words)


def cut(words: str, width: int) -> str:
    """The words in at most `width` places; what does not fit is a "…" at the end.

    >>> cut("one two", 7), cut("one two", 5), cut("您好您好", 4)
    ('one two', 'one…', '您…')
    """
    if places(words) <= width:
        return words
    return _shortened(words, width)


def wrap(words: str, width: int, lines: int) -> list[str]:
    """Lines of at most `width` letters, Chinese ones counted twice; what does not fit ends in "…".

    >>> wrap("one two three", 8, 2), wrap("您好您好", 4, 1)
    (['one two', 'three'], ['您…'])
    """
    done, line = [], ""
    for piece in _pieces(words):
        if line and places(line + piece.rstrip()) > width:
            done.append(line.rstrip())
            line = ""
        line += piece.lstrip() if not line else piece
    done.append(line.rstrip())
    if len(done) > lines:
        done = [*done[: lines - 1], _shortened(done[lines - 1], width)]
    return done


def _shortened(words: str, width: int) -> str:
    """With a "…" at the end, in at most `width` places."""
    while places(words) > width - 1:
        words = words[:-1]
    return words.rstrip() + "…"


def _pieces(words: str) -> list[str]:
    """Words with the space before them; Chinese characters, and the parts of very long words, one by one."""
    pieces = []
    for character in words:
        last = pieces[-1] if pieces else ""
        if last and not character.isspace() and not _wide(character) and not _wide(last[-1]) and len(last) < 40:
            pieces[-1] += character
        else:
            pieces.append(" " if character.isspace() else character)
    return pieces


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
