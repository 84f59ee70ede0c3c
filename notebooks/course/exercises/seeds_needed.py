"""seeds_needed: how many seeds tell two settings apart."""

import math

from ..check import Exercise, examples, require, rows


def seeds_needed(spread_a, spread_b, difference, errors):
    """The fewest seeds of each setting at which `difference` is at least `errors` standard errors; never below 2."""
    variance = spread_a**2 + spread_b**2  # of a - b with one seed each; with means of n seeds it is variance / n
    n = variance * (errors / difference) ** 2  # from |difference| = errors * sqrt(variance / n)
    return max(2, math.ceil(n))


cases = rows("seeds_needed")


def enough(fn):
    for a, b, difference, errors in cases():
        n = fn(a, b, difference, errors)
        bar = errors * math.sqrt((a**2 + b**2) / max(n, 1e-9))
        words = (
            f"With {n:g} seeds each, {errors:g} standard errors are {bar:.4g}; the difference is {abs(difference):g}."
        )
        require(bar <= abs(difference) * (1 + 1e-9), words, case=(a, b, difference, errors), got=n)


def half_costs_four_times(fn):
    for a, b, difference, errors in cases():
        n, four = fn(a, b, difference, errors), fn(a, b, difference / 2, errors)
        if n > 2:
            require(4 * (n - 1) < four <= 4 * n, case=(a, b, difference / 2, errors), got=four)


EXERCISE = Exercise(solution=seeds_needed, cases=cases, check_dtype=False, suite=examples("seeds_needed"))
