"""The suite that a repair of the tutorial must pass: its eight properties by name, and what they say of a function."""

from __future__ import annotations

from ..check.spec import Wrong
from . import reply_properties as hold

SUITE = {
    "score on the last real token": hold.score_on_the_last,
    "price of leaving the reference": hold.price_of_leaving,
    "advantages free of padding": hold.free_of_padding,
    "old numbers are data": hold.old_is_data,
    "ratio of very unlikely tokens": hold.unlikely_tokens,
    "clip": hold.clipped,
    "means over real tokens": hold.means_over_real,
    "NaN on padding": hold.nan_on_padding,
}


def suite(fn) -> str:
    """Which of the eight properties hold, one line each, with the numbers of those that do not.

    Of an exercise's function that is attempted, yours is tested, right or wrong; of an empty one the reference.
    """
    if hasattr(fn, "yours") and fn.grade().status != "todo":
        fn = fn.yours
    lines = []
    for name, holds in SUITE.items():
        try:
            holds(fn)
            lines.append(f"✓ {name}")
        except Wrong as wrong:
            lines.append(f"✗ {name}\n    {wrong.message}")
        except Exception as problem:
            lines.append(f"✗ {name}\n    {type(problem).__name__}: {str(problem).splitlines()[0]}")
    return "\n".join(lines)
