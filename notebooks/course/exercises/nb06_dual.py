"""Notebook 06: the dual clip, a second bound for negative advantages."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from .nb06_surrogate import clipped_surrogate, random_samples, samples


def dual_clip(objective, advantages, c):
    """Where A < 0, the objective never falls below c * A. Elsewhere it stays as it is."""
    bounded = torch.maximum(objective, c * advantages)
    return torch.where(advantages < 0, bounded, objective)


def _dual_cases():
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


def _leaves_good_samples(fn):
    """Where A is positive, nothing changes."""
    for objective, advantages, c in _dual_cases()[3:6]:
        good = advantages > 0
        close(fn(objective, advantages, c)[good], objective[good], case=(objective, advantages, c))


def _golden(fn):
    """A = -1, c = 3: a ratio of 3.1 gives -3 and a ratio of 10 gives -3; 2 still gives -2."""
    case = torch.tensor([-3.1, -10.0, -2.0]).double(), -torch.ones(3).double(), 3.0
    close(fn(*case), [-3.0, -3.0, -2.0], case=case)


def _bound_everywhere(objective, advantages, c):
    return torch.maximum(objective, c * advantages)


def _min_for_max(objective, advantages, c):
    return torch.where(advantages < 0, torch.minimum(objective, c * advantages), objective)


def _size_of_a(objective, advantages, c):
    return torch.where(advantages < 0, torch.maximum(objective, c * advantages.abs()), objective)


def _without_a(objective, advantages, c):
    return torch.where(advantages < 0, objective.clamp(min=-c), objective)


def _changes_nothing(objective, advantages, c):
    return objective.clone()


def _wrong_sign(objective, advantages, c):
    return torch.where(advantages > 0, torch.maximum(objective, c * advantages), objective)


def _divides(objective, advantages, c):
    return torch.where(advantages < 0, torch.maximum(objective, advantages / c), objective)


DUAL = Exercise(
    id="06.dual_clip",
    title="A second bound for negative advantages",
    solution=dual_clip,
    cases=_dual_cases,
    properties=[_leaves_good_samples, _golden],
    gradient=("objective",),
    mistakes=[
        Mistake(
            _bound_everywhere,
            "You applied the bound to positive advantages too. There c * A is far ABOVE the objective, so the maximum "
            "replaces it and no gradient is left. Only where A < 0.",
            "thu-ml/tianshou issue 433 and opendilab/PPOxFamily pull request 96",
        ),
        Mistake(
            _min_for_max,
            "You took the smaller of the two. The bound lies BELOW the objective and holds it up: the larger of them.",
        ),
        Mistake(_size_of_a, "You took c * |A|, which is positive. The bound is c * A, and A is negative here."),
        Mistake(
            _without_a,
            "You bounded by -c. The bound grows with the advantage: c * A. For A = -0.5 and c = 3 it is -1.5.",
        ),
        Mistake(
            _changes_nothing,
            "Where A < 0 the objective came back unchanged, so a large ratio is as bad as before. There it must never "
            "be below c * A, c times the ADVANTAGE. If you bounded the positive side from above: the ordinary clip has "
            "done that.",
        ),
        Mistake(_wrong_sign, "You bounded the positive advantages. The open side is A < 0 with a large ratio."),
        Mistake(
            _divides,
            "You divided by c. The objective is ratio * A there; to stop at a ratio of c, the bound must be c * A.",
        ),
    ],
    hints=[
        "Two cases: where A < 0 a bound, elsewhere the objective itself. `torch.where` chooses.",
        "Where A < 0 the objective is about ratio * A, a negative number without end. Do not let it fall below c * A.",
        "`torch.where(advantages < 0, torch.maximum(objective, c * advantages), objective)`.",
    ],
)
