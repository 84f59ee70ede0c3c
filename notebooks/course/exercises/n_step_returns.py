"""n_step_returns: n rewards, then the critic."""

import torch

from ..check.spec import Exercise, close


def _draw(g, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=g, dtype=dtype)


def n_step_returns(rewards, values, n, gamma):
    """n rewards, then gamma^n V of the square reached; after the goal nothing comes. (..., T), (..., T) -> (..., T)."""
    G = values  # with 0 rewards seen, the critic's value is all there is
    for _ in range(n):  # one more reward in front: G_t = r_t + gamma * (what G was one step later)
        later = torch.cat([G[..., 1:], torch.zeros_like(G[..., :1])], -1)
        G = rewards + gamma * later
    return G


def cases():
    g = torch.Generator().manual_seed(0)
    one = torch.tensor([-0.1, -1.0, 1.0]).double(), torch.tensor([2.0, 3.0, 0.5]).double(), 1, 0.5
    two = torch.tensor([-0.1, -1.0, -0.1, 1.0]).double(), torch.tensor([2.0, 3.0, 0.5, 4.0]).double(), 2, 0.5
    more = [(_draw(g, 6), _draw(g, 6), n, gamma) for n, gamma in ((3, 0.9), (5, 0.97), (9, 0.9))]
    rows, single = (_draw(g, 2, 7), _draw(g, 2, 7), 4, 0.8), (_draw(g, 5).float(), _draw(g, 5).float(), 3, 0.9)
    return [one, two, *more, rows, single]


def one_is_the_td_target(fn):
    rewards, values, n, gamma = cases()[0]
    close(fn(rewards.clone(), values.clone(), n, gamma), [1.4, -0.75, 1.0], case=(rewards, values, n, gamma))


def whole_walk(fn):
    rewards, values, n, gamma = cases()[4]
    G = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 6)) for t in range(6)])
    close(fn(rewards.clone(), values.clone(), n, gamma), G, case=(rewards, values, n, gamma))


def a_right_critic_agrees(fn):
    rewards, gamma = torch.tensor([-0.1, -1.0, -0.1, -0.1, 1.0]).double(), 0.9
    V = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 5)) for t in range(5)])
    for n in (1, 2, 3, 7):
        close(fn(rewards.clone(), V.clone(), n, gamma), V, case=(rewards, V, n, gamma))


EXERCISE = Exercise(solution=n_step_returns, cases=cases)
