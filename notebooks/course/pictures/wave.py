"""The wave: a reward lands on the last step and flows back, step by step. One picture for a walk and for a reply.

    wave(["right", "down"], deltas, advantages, "goal")                  a strip of steps; a reply's are its tokens
    wave(moves, deltas, advantages, "goal", squares=[2, 3, 7])           beside it the maze that was walked

Every step gets its own surprise δ, and γλ of what the step after it got: colour goes as far back as λ carries it.
Left out: rows with several episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .moving import Film, Reel
from .style import INK, MUTED, NEGATIVE, POSITIVE
from .svg import WIDTH, places, text

SIDE, ROW = 54, 84  # CSS pixels: a square of the maze, a row of steps


def wave(names: Sequence[str], deltas, advantages, landing: str, *, squares: Sequence[int] = (), size: int = 4) -> Film:
    """Advantages that fill up from the last step to the first, as the recursion finds them.

    names: of the T steps. deltas, advantages: (T,), one episode's. landing: what comes at its end, in a word.
    squares: where each step begins, on a maze of size x size. ValueError if the counts differ.
    """
    deltas, A, T = np.asarray(deltas, float), np.asarray(advantages, float), len(names)
    if not len(deltas) == len(A) == T or len(squares) not in (0, T):
        raise ValueError(f"one delta, advantage and square a step; got {len(deltas)}, {len(A)}, {len(squares)} of {T}")
    reel, left = Reel(T, min(1.0 * T, 9.0), hold=max(2, T // 4)), SIDE * size + 56 if squares else 24
    boxes = _boxes(names, left, 9 * places(landing) + 28, (40, 48) if not squares else (102, 74))
    shade = 0.9 * np.abs(A) / max(np.abs(A).max(), 1e-12)
    colours = [POSITIVE if a > 0 else NEGATIVE for a in A]
    parts = _maze(size) if squares else []
    for t, (x, y, wide) in enumerate(boxes):
        fill = reel.move({"fill-opacity": [shade[t] if T - k <= t else 0.0 for k in range(T + 1)]}, 2)
        if squares:
            visits = [i for i, s in enumerate(squares) if s == squares[t]]
            part, (row, column) = (SIDE - 4) / len(visits), divmod(squares[t], size)
            place = f'x="{10 + SIDE * column + part * visits.index(t):.1f}" y="{10 + SIDE * row}" width="{part:.1f}"'
            parts.append(f'<rect {place} height="{SIDE - 4}" fill="{colours[t]}"{fill}</rect>')
        frame = f'x="{x:.1f}" y="{y}" width="{wide}" height="30" rx="5"'
        parts.append(f'<rect {frame} fill="#F1F3F6" stroke="#C3C8D0"/><rect {frame} fill="{colours[t]}"{fill}</rect>')
        parts.append(text(x + wide / 2, y + 20, names[t], INK, "middle"))
        parts.append(text(x + wide / 2, y - 6, _signed(deltas[t]), MUTED, "middle", 13.5))
        seen = reel.move({"visibility": ["visible" if T - k <= t else "hidden" for k in range(T + 1)]})
        parts.append(f"<g{seen}{text(x + wide / 2, y + 47, _signed(A[t]), INK, 'middle', bold=True)}</g>")
        if t == 0 or y > boxes[t - 1][1]:
            parts += [
                text(left - 6, y + dy, word, INK, "end", bold=bold) for dy, word, bold in ((-6, "δ", 0), (47, "A", 1))
            ]
    last = boxes[-1]
    room = 9 * places(landing) + 14
    way = np.array([(last[0] + last[2] + 14, last[1], room), *boxes[::-1]]).T
    way = way.astype(str) if boxes[0][1] < last[1] else way  # from row to row it jumps
    front = reel.move(dict(zip(("x", "y", "width"), way)))
    parts.append(f'<rect height="30" rx="5" fill="none" stroke="{INK}" stroke-width="2.5"{front}</rect>')
    parts.append(text(last[0] + last[2] + 14 + room / 2, last[1] + 20, landing, INK, "middle", bold=True))
    height = max(last[1] + 80, SIDE * size + 20 if squares else 0)
    parts.append(text(left, last[1] + 72, "A = δ + γλ · A of the next step", size=14))
    numbers = ", ".join(f"{name.strip()} {_signed(a)}" for name, a in zip(names, A))
    return Film(
        parts, height, f"A wave from the last of {T} steps to the first. Advantages: {numbers}; then {landing}."
    )


def _boxes(names: Sequence[str], left: float, room: int, first: tuple[int, int]) -> list[tuple[float, int, int]]:
    """Left, top and width of each step's box, in rows; room for what lands stands after the last.

    room: pixels after the last box. first: the first row's height, the least width of a box.
    """
    boxes, x, (y, least) = [], left, first
    for name in names:
        wide = max(least, 9 * places(name) + 14)
        if x + wide + (room if len(boxes) == len(names) - 1 else 0) > WIDTH - 4:
            x, y = left, y + ROW
        boxes.append((x, y, wide))
        x += wide + 4
    return boxes


def _maze(size: int) -> list[str]:
    squares = [(10 + SIDE * (i % size), 10 + SIDE * (i // size)) for i in range(size * size)]
    parts = [f'<rect x="{x}" y="{y}" width="{SIDE - 4}" height="{SIDE - 4}" fill="#F1F3F6"/>' for x, y in squares]
    wall = f'<rect x="6" y="6" width="{SIDE * size + 4}" height="{SIDE * size + 4}" rx="6" fill="none" stroke="#3B4252"'
    return [
        *parts,
        f'{wall} stroke-width="3"/>',
        text(squares[-1][0] + 25, squares[-1][1] + 30, "G", INK, "middle", bold=True),
    ]


def _signed(x: float) -> str:
    return f"{x:+.2f}".replace("-", "−") if abs(x) >= 0.005 else "0"
