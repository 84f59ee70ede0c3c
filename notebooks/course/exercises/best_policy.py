"""best_policy: the best policy at a price beta on leaving home, in closed form and in logarithms."""

import torch

from ..check import Exercise, close, rows


def best_policy(ref, r, beta):
    """log pi* of every reply at the price beta: home, tilted by the reward, (..., K) -> (..., K)."""
    logits = ref + r / beta  # a product of probabilities is a sum of logarithms
    return logits.log_softmax(-1)


def _drawn(shape, seed, beta, scale=1.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    ref = torch.log_softmax(torch.randn(shape, generator=g, dtype=dtype), -1)
    return ref, scale * torch.randn(shape, generator=g, dtype=dtype), beta


def sums_to_one(fn):
    case = _drawn((3, 5), 11, 0.7)
    close(fn(*case).exp().sum(-1), torch.ones(3, dtype=torch.float64), case=case)


def equal_rewards_change_nothing(fn):
    ref, r, beta = _drawn((3, 5), 12, 0.7)
    case = ref, r[:, :1].expand(3, 5).clone(), beta
    close(fn(*case), ref, case=case)


def the_odds_move_by_the_reward(fn):
    ref, r, beta = case = _drawn((3, 5), 13, 0.4)
    moved = fn(*case) - ref
    close(beta * (moved[:, 1:] - moved[:, :-1]), r[:, 1:] - r[:, :-1], case=case)


def each_prompt_alone(fn):
    ref, r, beta = case = _drawn((3, 5), 14, 0.4)
    close(fn(*case)[1], fn(ref[1:2], r[1:2], beta)[0], case=case)


EXERCISE = Exercise(solution=best_policy, cases=rows("best_policy", _drawn))
