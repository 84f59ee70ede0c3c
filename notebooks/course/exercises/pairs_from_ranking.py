"""pairs_from_ranking: from a ranking of replies to pairs of a better and a worse one."""

from ..check import Exercise, require, rows


def pairs_from_ranking(order):
    """Every (better, worse) pair of a ranking, the best first."""
    return [(better, worse) for i, better in enumerate(order) for worse in order[i + 1 :]]


def how_many(fn):
    for k in (2, 4, 9):
        order = list(range(k))[::-1]
        got = len(fn(order))
        require(got == k * (k - 1) // 2, f"Of {k} replies yours makes {got} pairs.", case=(order,), got=fn(order))


def never_itself(fn):
    require(all(a != b for a, b in fn([3, 1, 2])), case=([3, 1, 2],), got=fn([3, 1, 2]))


def best_first(fn):
    order = ["B", "D", "A", "C"]
    got = [tuple(pair) for pair in fn(order)]
    want = pairs_from_ranking(order)
    require(
        sorted(got) != sorted(want) or got == want, "The pairs are right, and in another order.", case=(order,), got=got
    )


EXERCISE = Exercise(solution=pairs_from_ranking, cases=rows("pairs_from_ranking"))
