"""returns_and_weights: targets for the critic, weights for the actor."""

import torch  # noqa: F401  mistakes need it

from ..check import Exercise, close, rows


def returns_and_weights(advantages, values):
    """Targets for the critic, from the advantages as they are; weights for the actor, whitened. (B, T) each."""
    returns = advantages + values
    weights = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return returns, weights


cases = rows("returns_and_weights")


def targets_add_up(fn):
    advantages, values = cases()[1]
    close(fn(advantages.clone(), values.clone())[0] - values, advantages, case=(advantages, values))


def weights_are_white(fn):
    advantages, values = cases()[2]
    weights = fn(advantages.clone(), values.clone())[1]
    close(weights.mean(), 0.0, case=(advantages, values), atol=1e-6)
    close(weights.std(), 1.0, case=(advantages, values), rtol=1e-4)


EXERCISE = Exercise(solution=returns_and_weights, cases=cases, rtol=0.0001, atol=1e-06)
