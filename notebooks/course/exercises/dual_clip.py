"""dual_clip: A second bound for negative advantages."""

import torch

from ..check.spec import Exercise, close
from .clipped_surrogate import clipped_surrogate, random_samples, samples


def dual_clip(objective, advantages, c):
    """Where A < 0, the objective never falls below c * A. Elsewhere it stays as it is."""
    bounded = torch.maximum(objective, c * advantages)
    return torch.where(advantages < 0, bounded, objective)


def cases():
    g = torch.Generator().manual_seed(7)

    def case(ratios, advantages, c):
        surrogate = clipped_surrogate(*samples(ratios, advantages), 0.2)
        return surrogate, torch.tensor(advantages).double(), c

    def drawn(*shape, dtype=torch.float64):
        logp, old, A = random_samples(g, *shape, dtype=dtype)
        return clipped_surrogate(old + 4 * (logp - old), old, A, 0.2), A, 2.0

    few = [case([3.1], [-1.0], 3.0), case([10.0], [-0.5], 3.0), case([0.5], [-1.0], 3.0), case([1.5], [1.0], 3.0)]
    return [
        *few,
        case([0.5, 1.1, 10.0, 0.5, 1.1, 10.0], [2.0, 2.0, 2.0, -2.0, -2.0, -2.0], 3.0),
        drawn(9),
        drawn(4, 6),
        drawn(5, dtype=torch.float32),
    ]


def leaves_good_samples(fn):
    for objective, advantages, c in cases()[3:6]:
        good = advantages > 0
        close(fn(objective, advantages, c)[good], objective[good], case=(objective, advantages, c))


def golden(fn):
    case = torch.tensor([-3.1, -10.0, -2.0]).double(), -torch.ones(3).double(), 3.0
    close(fn(*case), [-3.0, -3.0, -2.0], case=case)


EXERCISE = Exercise(solution=dual_clip, cases=cases, gradient=("objective",))
