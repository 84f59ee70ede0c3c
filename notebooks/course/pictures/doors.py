"""Six doors: ratio below, inside or above the fence, times the sign of A. Which are shut? Guess in the picture itself.

    doors([False] * 6).svg                        for `Panel`: nobody guessed yet, all stand open
    doors(guess, slopes).svg                      opened: where the objective's slope is 0, a wall

Numbered as the cases are: 1 to 3 below, inside, above with A > 0; 4 to 6 with A < 0. The arrow is the pull on the
ratio. Left out: how strong the pull is.
"""

from __future__ import annotations

from collections.abc import Sequence

from .moving import Film, Reel
from .style import INK, NEGATIVE, POSITIVE, readable
from .svg import text

WALL, OPEN, REEL = "#B4B9C1", "#FFFFFF", Reel(4, 1.6, hold=2)
ZONES = ("ratio below 1 − ε", "inside the fence", "ratio above 1 + ε")


def doors(guess: Sequence[bool], slopes: Sequence[float] | None = None) -> Film:
    """guess: six, True: shut. slopes: the objective's slope in the six cases, once the doors are opened."""
    parts = [text(224 + 214 * i, 22, zone, INK, "middle", 15) for i, zone in enumerate(ZONES)]
    shut = list(guess) if slopes is None else [slope == 0 for slope in slopes]
    for k in range(6):
        up, colour = k < 3, POSITIVE if k < 3 else NEGATIVE
        x, y = 124 + 214 * (k % 3), 36 + 132 * (k // 3)
        size = f'x="{x}" y="{y}" width="200" height="120" rx="6" stroke-width="3"'
        parts.append(f'<rect {size} fill="{WALL if shut[k] else OPEN}" stroke="{INK}"/>')
        parts.append(text(x + 10, y + 24, str(k + 1), INK, size=18, bold=True))
        if shut[k]:
            said = "no gradient" if slopes is not None else "shut, you say"
            parts.append(text(x + 100, y + 68, said, INK, "middle", 15))
        else:
            way = [x + 40 + 25 * i for i in range(5)]
            moved = REEL.move({"x": way if up else way[::-1]})
            look = f'y="{y + 76}" font-size="40" fill="{readable(colour)}"{moved}'
            parts.append(f"<text {look}{'→' if up else '←'}</text>")
        if slopes is not None:
            right = shut[k] == bool(guess[k])
            parts.append(text(x + 190, y + 24, "✓" if right else "✗", INK, "end", 20, bold=True))
    for y, words, colour in ((102, "A > 0", POSITIVE), (234, "A < 0", NEGATIVE)):
        parts.append(text(10, y, words, colour, size=18, bold=True))
    words = f"{sum(map(bool, guess))} of 6 shut, you say"
    if slopes is not None:
        right = sum(a == bool(b) for a, b in zip(shut, guess))
        words = f"{sum(shut)} of 6 are shut; you had {right} right"
    told = ", ".join(f"{k + 1} {'shut' if closed else 'open'}" for k, closed in enumerate(shut))
    return Film([*parts, text(124, 322, words, INK, size=16, bold=True)], 336, f"Six doors, {words}: {told}.")
