"""`challenge("maze", yours, ours)`: an open task at the end of a notebook, scored by a number; the best one is kept.

Left out: a right answer. Whoever beats the course's own number has found something that the course did not.
"""

from __future__ import annotations

import math

from . import index, message, records


def challenge(notebook: str, yours: float | None, ours: float, *, better: str = "higher", unit: str = "") -> None:
    """Show your number beside the course's, and your best one so far. yours: None while nothing was tried.

    better: "higher" or "lower". ValueError for an unknown notebook or word; a NaN or an infinite number does not count.
    """
    index.known("notebook", notebook, index.NOTEBOOKS)
    if better not in ("higher", "lower"):
        raise ValueError(f'better is "higher" or "lower"; got {better!r}')
    sign = 1 if better == "higher" else -1
    best = records.read()["challenges"].get(notebook, {}).get("best")
    goal = f"The course's own number: {_said(ours, unit)}; {better} is better."
    if yours is None:
        return message.line(f"{message.OPEN} Challenge: not tried yet.", goal, *_best(best, unit))
    if not math.isfinite(yours):
        return message.line(f"{message.WRONG} Challenge: {yours} is no score.", goal, *_best(best, unit))
    if best is None or sign * yours > sign * best:
        best = float(yours)
        records.update("challenges", notebook, lambda old: {"best": best, "beats": sign * best > sign * float(ours)})
    ahead = sign * yours > sign * ours
    word = "ahead of the course" if ahead else "level with the course" if yours == ours else "not there yet"
    symbol = message.RIGHT if ahead else message.OPEN
    message.line(f"{symbol} Challenge: {_said(yours, unit)}, {word}.", goal, *_best(best, unit))


def _said(x: float, unit: str) -> str:
    return f"{x:.4g} {unit}".rstrip()


def _best(best: float | None, unit: str) -> list[str]:
    return [] if best is None else [f"Your best so far: {_said(best, unit)}."]
