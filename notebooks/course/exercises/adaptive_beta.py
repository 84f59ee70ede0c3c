"""adaptive_beta: the paper's rule for beta."""

from ..check import Exercise, close, examples, require, rows


def adaptive_beta(beta, kl, target):
    """The next beta: half if the KL fell below target / 1.5, double if it rose above 1.5 * target, else the same."""
    if kl < target / 1.5:
        return beta / 2
    if kl > 1.5 * target:
        return beta * 2
    return beta


def scales_with_beta(fn):
    for kl in (0.001, 0.011, 0.05):
        factor = fn(1.0, kl, 0.01)
        close(fn(8.0, kl, 0.01), 8 * factor, case=(8.0, kl, 0.01))


def only_three_factors(fn):
    for kl in (1e-6, 100.0):
        case = (1.0, kl, 0.01)
        require(0.4999 < float(fn(*case)) < 2.0001, case=case, got=fn(*case))


EXERCISE = Exercise(solution=adaptive_beta, cases=rows("adaptive_beta"), suite=examples("adaptive_beta"))
