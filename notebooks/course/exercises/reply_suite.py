"""The suite that a repair of the tutorial must pass: its eight properties by name, and what they say of a function."""

from __future__ import annotations

from ..check.spec import Wrong
from .reply_properties import (
    clipped,
    free_of_padding,
    means_over_real,
    nan_on_padding,
    old_is_data,
    price_of_leaving,
    score_on_the_last,
    unlikely_tokens,
)

SUITE = {
    "score on the last real token": score_on_the_last,
    "price of leaving the reference": price_of_leaving,
    "advantages free of padding": free_of_padding,
    "old numbers are data": old_is_data,
    "ratio of very unlikely tokens": unlikely_tokens,
    "clip": clipped,
    "means over real tokens": means_over_real,
    "NaN on padding": nan_on_padding,
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
