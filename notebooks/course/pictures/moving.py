"""Pictures that move by themselves: SVG that the browser plays (SMIL), without a kernel and without a script.

    reel = Reel(10, 6.0)                                           frames 0 to 10 in 6 seconds, then the last stands
    dot = f'<circle r="3" cy="20"{reel.move({"cx": xs})}</circle>'   xs[k]: where it is in frame k
    Film([dot], 40, "A dot goes right.")                           the last line of a cell: it plays there

It begins with its last frame, so a page that is printed, or a viewer that animates nothing, shows the telling one.
A reader who asked the system for less motion sees that frame alone. Left out: a button to pause; sound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .page import still
from .style import require_alt
from .svg import svg

CALM = "@media(prefers-reduced-motion:reduce){.ppo-film{display:none}.ppo-still{display:inline}}"


@dataclass(frozen=True)
class Reel:
    """One clock for all that moves in a picture: `last` + 1 frames in `seconds`, then a rest of `hold` frames."""

    last: int
    seconds: float
    hold: int = 3

    def move(self, attributes: Mapping[str, Sequence], digits: int = 1) -> str:
        """The end of a tag: each attribute as in the last frame, and what animates it.

        attributes: to each name `last` + 1 numbers (or arrays, a polygon's points), between which it glides, or texts,
        which change at once. ValueError for another count. What never changes is not animated.
        """
        start, inside = "", ""
        for name, values in attributes.items():
            if len(values) != self.last + 1:
                raise ValueError(f"{name} needs {self.last + 1} values, one a frame; got {len(values)}")
            jump = isinstance(values[0], str)
            texts = [*values] if jump else [" ".join(short(y, digits) for y in np.ravel(x)) for x in values]
            start += f' {name}="{texts[-1]}"'
            inside += self._change(name, texts, jump) if len(set(texts)) > 1 else ""
        return f"{start}>{inside}"

    def _change(self, name: str, texts: list[str], jump: bool) -> str:
        whole = self.seconds * (self.last + self.hold) / self.last
        values = ";".join([*texts, *texts[-1:] * (self.hold - jump)])  # jumping, the last one needs no end
        when = f'dur="{short(whole)}s" begin="-{short(self.seconds)}s" repeatCount="indefinite"'
        how = ' calcMode="discrete"' if jump else ""
        return f'<animate attributeName="{name}" {when}{how} values="{values}"/>'

    def only(self, frame: int, part: str) -> str:
        """`part`, to be seen in this frame alone; after the end the last one stays."""
        seen = ["visible" if k == frame else "hidden" for k in range(self.last + 1)]
        return f"<g{self.move({'visibility': seen})}{part}</g>"


class Film:
    """An SVG that plays, as the last line of a cell: `.svg`, and `.alt`, its words.

    parts: pieces of SVG, moved by one `Reel`; they hold no ids. defs: what they use by id. height: CSS pixels.
    """

    def __init__(self, parts: Sequence[str], height: float, alt: str, *, defs: str = ""):
        self.alt = require_alt(alt)
        film = "".join(parts)
        calm = re.sub(r"<animate [^>]*/>", "", film)
        groups = f'<g class="ppo-film">{film}</g><g class="ppo-still">{calm}</g>'
        self.svg = svg([f"<style>.ppo-still{{display:none}}{CALM}</style><defs>{defs}</defs>", groups], height)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": still(self.svg, self.alt), "text/plain": self.alt}, {}

    def __repr__(self):
        return self.alt


def short(x: float, digits: int = 2) -> str:
    """0.50 -> .5, -0.00 -> 0: a film has ten thousand numbers.

    >>> short(0.5), short(-0.001), short(-0.25), short(12.0)
    ('.5', '0', '-.25', '12')
    """
    text = f"{x:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{x:.0f}"
    return "0" if text in ("-0", "") else text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
