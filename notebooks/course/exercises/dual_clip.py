"""dual_clip: A second bound for negative advantages."""

import torch

from ..check import Exercise, close, examples, rows
from .clipped_surrogate import clipped_surrogate, random_samples, samples


def dual_clip(objective, advantages, c):
    """Where A < 0, the objective never falls below c * A. Elsewhere it stays as it is."""
    bounded = torch.maximum(objective, c * advantages)
    return torch.where(advantages < 0, bounded, objective)


def batch(g, c, ratios=(), advantages=(), shape=(), dtype=torch.float64):
    if not shape:
        logp, old, A = samples(ratios, advantages)
        return clipped_surrogate(logp, old, A, 0.2), A, c
    logp, old, A = random_samples(g, *shape, dtype=dtype)
    return clipped_surrogate(old + 4 * (logp - old), old, A, 0.2), A, c


cases = rows("dual_clip", batch)


def leaves_good_samples(fn):
    for objective, advantages, c in cases()[3:6]:
        good = advantages > 0
        close(fn(objective, advantages, c)[good], objective[good], case=(objective, advantages, c))


EXERCISE = Exercise(solution=dual_clip, cases=cases, suite=examples("dual_clip"), gradient=("objective",))
