"""Put one message into a notebook: HTML for eyes, plain text for the rest. Never on stderr, never an address or a time.

Meaning is carried by a word and a symbol; the colour (Okabe-Ito, as in the figures) only repeats it.
"""

from __future__ import annotations

import html
import re
import sys

from IPython import get_ipython
from IPython.display import display

GREEN, RED, GREY, BLUE = "#009E73", "#D55E00", "#8A8F98", "#0072B2"
RIGHT, WRONG, OPEN = "✓", "✗", "○"


def markup(text: str) -> str:
    """Plain text to HTML: special characters escaped, `code` in backticks set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def box(colour: str, *parts: str) -> str:
    """An HTML box with a coloured edge."""
    style = f"border-left:4px solid {colour};padding:2px 0 2px 12px;margin:4px 0;line-height:1.5;max-width:60em"
    return f'<div style="{style}">{"".join(parts)}</div>'


def fold(summary: str, body: str, *, opened: bool = False) -> str:
    """A part that opens on click or with Enter."""
    return f"<details{' open' if opened else ''}><summary>{markup(summary)}</summary>{body}</details>"


def line(*lines: str) -> None:
    """Show plain lines in a grey box."""
    emit(box(GREY, *(f"<div>{markup(text)}</div>" for text in lines)), "\n".join(lines))


def emit(page: str, text: str, widget=None) -> None:
    """Display HTML with `text` as its plain text. `widget` is shown instead wherever there is a live front end."""
    if get_ipython() is None:
        if sys.stdout is None:  # pythonw
            return
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))  # a Windows console may not have ✓
        return
    bundle = {"text/plain": text, "text/html": page}
    if widget is not None:
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        bundle["application/vnd.jupyter.widget-view+json"] = view
        if "google.colab" in sys.modules:  # Colab shows the HTML if there is any, and the widget only if there is none
            del bundle["text/html"]
    display(bundle, raw=True)
