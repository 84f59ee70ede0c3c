"""n_step_returns: n rewards, then the critic."""

import torch

from ..check import Exercise, close, examples, rows


def n_step_returns(rewards, values, n, gamma):
    """n rewards, then gamma^n V of the square reached; after the goal nothing comes. (..., T), (..., T) -> (..., T)."""
    G = values  # with 0 rewards seen, the critic's value is all there is
    for _ in range(n):  # one more reward in front: G_t = r_t + gamma * (what G was one step later)
        later = torch.cat([G[..., 1:], torch.zeros_like(G[..., :1])], -1)
        G = rewards + gamma * later
    return G


cases = rows("n_step_returns")


def whole_walk(fn):
    rewards, values, n, gamma = cases()[4]
    G = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 6)) for t in range(6)])
    close(fn(rewards.clone(), values.clone(), n, gamma), G, case=(rewards, values, n, gamma))


def a_right_critic_agrees(fn):
    rewards, gamma = torch.tensor([-0.1, -1.0, -0.1, -0.1, 1.0]).double(), 0.9
    V = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 5)) for t in range(5)])
    for n in (1, 2, 3, 7):
        close(fn(rewards.clone(), V.clone(), n, gamma), V, case=(rewards, V, n, gamma))


EXERCISE = Exercise(solution=n_step_returns, cases=cases, suite=examples("n_step_returns"))
