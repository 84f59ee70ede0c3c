"""How a picture stands in a page: on a white card, never too small to read, its description in the page's own text.

    white_card('<img alt="A curve falls." src="data:image/png;base64,..." ...>', 600)  around a picture that moves
    still("<svg ...>...</svg>", "Two models learn.")                                  an SVG in a notebook nobody ran
    words("A curve falls.")                                                           below a PNG

Four front ends made the rules. JupyterLab shows no raw SVG of a notebook that was not run here, but an `<img>` whose
source holds the same SVG; it gives `image/png` an empty alt, and so does nbconvert. GitHub may refuse data in HTML, so
PNG and SVG stay beside it as outputs of their own kind. Dark themes have a dark page, so the ground is painted.
Left out: scripts. Notebooks that nobody ran do not execute them.
"""

from __future__ import annotations

import base64
import html
import re

LEAST = 0.75  # a picture keeps this share of its width: below, its letters (10 points) could not be read


def white_card(inside: str, width: int | None = None) -> str:
    """HTML: `inside` on white, at most `width` CSS pixels wide; in a page that is too narrow it scrolls sideways."""
    size = f"width:{width + 16}px;min-width:{round(LEAST * width) + 16}px;" if width else ""
    ground = f"{size}max-width:100%;box-sizing:border-box;padding:8px;background:#fff;color:#22262E"
    scroller = "width:0;min-width:100%;overflow-x:auto"  # as wide as the page lets it be, never as what it holds
    return f'<div style="{scroller}"><div style="{ground}">{inside}</div></div>'


def image(data: bytes, kind: str, alt: str, width: int | None = None, height: int | None = None) -> str:
    """An `<img>` that holds its own data. kind: its mime type. Where data is forbidden, browsers show the alt text."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    size = f' width="{width}" height="{height}"' if width and height else ""
    look = "max-width:100%;height:auto;display:block"
    return f'<img alt="{html.escape(alt)}" src="{source}"{size} style="{look}">'


def still(picture: str, alt: str) -> str:
    """An SVG string as HTML that front ends show without running anything; what moves by itself (SMIL) moves."""
    if "xmlns=" not in picture:  # needed in a file of its own, not in a page
        picture = picture.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    width, height = svg_size(picture)
    return white_card(image(picture.encode(), "image/svg+xml", alt, width, height), width)


def svg_size(picture: str) -> tuple[int | None, int | None]:
    """Width and height of an SVG string in CSS pixels, None where its head does not say.

    >>> svg_size('<svg width="760" height="45.5"><rect width="3"/></svg>'), svg_size('<svg><rect width="3"/></svg>')
    ((760, 46), (None, None))
    """
    head = picture[: picture.find(">") + 1]
    found = [re.search(rf"""\s{name}=["']([\d.]+)(?:px)?["']""", head) for name in ("width", "height")]
    width, height = (round(float(match[1])) if match else None for match in found)
    return width, height


def words(alt: str) -> str:
    """The description of a picture as HTML: a screen reader finds it, others open it if they like."""
    return f'<details style="max-width:60em"><summary>In words</summary>{html.escape(alt)}</details>'
