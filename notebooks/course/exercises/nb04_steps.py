"""Notebook 04: n-step returns, from one reward and the critic to the whole walk."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from ..check.texts import written


def _draw(g, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=g, dtype=dtype)


def _later(x):
    """x of the next step; 0 after the last one."""
    return torch.cat([x[..., 1:], torch.zeros_like(x[..., :1])], -1)


# ---- 04.n_step_returns: look n rewards ahead, then trust the critic ----------


def n_step_returns(rewards, values, n, gamma):
    """n rewards, then gamma^n V of the square reached; after the goal nothing comes. (..., T), (..., T) -> (..., T)."""
    G = values  # with 0 rewards seen, the critic's value is all there is
    for _ in range(n):  # one more reward in front: G_t = r_t + gamma * (what G was one step later)
        later = torch.cat([G[..., 1:], torch.zeros_like(G[..., :1])], -1)
        G = rewards + gamma * later
    return G


def _n_step_cases():
    g = torch.Generator().manual_seed(0)
    one = torch.tensor([-0.1, -1.0, 1.0]).double(), torch.tensor([2.0, 3.0, 0.5]).double(), 1, 0.5
    two = torch.tensor([-0.1, -1.0, -0.1, 1.0]).double(), torch.tensor([2.0, 3.0, 0.5, 4.0]).double(), 2, 0.5
    more = [(_draw(g, 6), _draw(g, 6), n, gamma) for n, gamma in ((3, 0.9), (5, 0.97), (9, 0.9))]
    rows, single = (_draw(g, 2, 7), _draw(g, 2, 7), 4, 0.8), (_draw(g, 5).float(), _draw(g, 5).float(), 3, 0.9)
    return [one, two, *more, rows, single]


def _one_is_the_td_target(fn):
    """With n = 1 it must be r + gamma V(s'), and r alone on the last step, which enters the goal."""
    rewards, values, n, gamma = _n_step_cases()[0]
    close(fn(rewards.clone(), values.clone(), n, gamma), [1.4, -0.75, 1.0], case=(rewards, values, n, gamma))


def _whole_walk(fn):
    """With n as long as the walk or longer, the critic must not count at all."""
    rewards, values, n, gamma = _n_step_cases()[4]
    G = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 6)) for t in range(6)])
    close(fn(rewards.clone(), values.clone(), n, gamma), G, case=(rewards, values, n, gamma))


def _a_right_critic_agrees(fn):
    """Where V(s_t) = r_t + gamma V(s_t+1) holds at every step, every n must give V itself."""
    rewards, gamma = torch.tensor([-0.1, -1.0, -0.1, -0.1, 1.0]).double(), 0.9
    V = torch.stack([sum(gamma ** (k - t) * rewards[k] for k in range(t, 5)) for t in range(5)])
    for n in (1, 2, 3, 7):
        close(fn(rewards.clone(), V.clone(), n, gamma), V, case=(rewards, V, n, gamma))


def _one_step_too_many(rewards, values, n, gamma):
    return n_step_returns(rewards, values, n + 1, gamma)


def _one_step_too_few(rewards, values, n, gamma):
    return n_step_returns(rewards, values, n - 1, gamma)


def _minus_the_baseline(rewards, values, n, gamma):
    return n_step_returns(rewards, values, n, gamma) - values


def _pieces(rewards, values, n, gamma):
    """The discounted sum of n rewards alone, and V of the square n steps ahead (0 past the goal)."""
    ahead = values
    for _ in range(n):
        ahead = _later(ahead)
    return n_step_returns(rewards, torch.zeros_like(values), n, gamma), ahead


def _no_gamma_on_the_value(rewards, values, n, gamma):
    total, ahead = _pieces(rewards, values, n, gamma)
    return total + ahead


def _one_gamma_on_the_value(rewards, values, n, gamma):
    total, ahead = _pieces(rewards, values, n, gamma)
    return total + gamma * ahead


def _one_gamma_too_few(rewards, values, n, gamma):
    total, ahead = _pieces(rewards, values, n, gamma)
    return total + gamma ** (n - 1) * ahead


def _value_of_the_square_before(rewards, values, n, gamma):
    total, _ = _pieces(rewards, values, n, gamma)
    return total + gamma**n * _pieces(rewards, values, n - 1, gamma)[1]


def _value_of_the_start(rewards, values, n, gamma):
    total, ahead = _pieces(rewards, values, n, gamma)
    return total + gamma**n * torch.where(ahead == 0, 0.0, values)


def _no_value(rewards, values, n, gamma):
    return _pieces(rewards, values, n, gamma)[0]


def _one_reward_too_many(rewards, values, n, gamma):
    return (
        n_step_returns(rewards, torch.zeros_like(values), n + 1, gamma) + gamma**n * _pieces(rewards, values, n, 1)[1]
    )


def _time_is_the_first_axis(rewards, values, n, gamma):
    return n_step_returns(rewards.movedim(0, -1), values.movedim(0, -1), n, gamma).movedim(-1, 0)


def _last_value_for_ever(rewards, values, n, gamma):
    total, _ = _pieces(rewards, values, n, gamma)
    T = rewards.shape[-1]
    return total + gamma**n * values[..., (torch.arange(T) + n).clamp(max=T - 1)]


def _wraps_around(rewards, values, n, gamma):
    G = values
    for _ in range(n):
        G = rewards + gamma * torch.roll(G, -1, -1)
    return G


def _rewards_not_discounted(rewards, values, n, gamma):
    _, ahead = _pieces(rewards, values, n, gamma)
    return n_step_returns(rewards, torch.zeros_like(values), n, 1.0) + gamma**n * ahead


def _power_without_index(rewards, values, n, gamma):
    _, ahead = _pieces(rewards, values, n, gamma)
    weight = sum(gamma**k for k in range(1, n)) if n > 1 else 0.0
    return rewards + weight * _later(rewards) + gamma**n * ahead


N_STEP = Exercise(
    id="04.n_step_returns",
    title="n rewards, then the critic",
    solution=n_step_returns,
    cases=_n_step_cases,
    properties=[_one_is_the_td_target, _whole_walk, _a_right_critic_agrees],
    mistakes=[
        Mistake(
            _minus_the_baseline,
            "You subtracted V(s_t): that is A^(n). Here only the underbraced part, the n-step return, is asked for.",
        ),
        Mistake(_one_step_too_many, "You counted n + 1 rewards: r_t up to r_t+n-1 are n rewards."),
        Mistake(_one_step_too_few, "You counted n - 1 rewards: r_t up to r_t+n-1 are n rewards."),
        Mistake(
            _no_gamma_on_the_value,
            "The value at the end is not discounted. It stands n steps ahead, so it counts gamma^n times.",
            "Eclectic-Sheep/sheeprl pull request 251",
        ),
        Mistake(
            _one_gamma_on_the_value, "The value at the end got one gamma. It stands n steps ahead, so it needs gamma^n."
        ),
        Mistake(
            _one_gamma_too_few,
            "The value at the end got gamma^(n-1), like the last reward. It stands one step further: gamma^n.",
        ),
        Mistake(
            _value_of_the_square_before,
            "You asked for V(s_t+n-1), the square on which the last of the n rewards was earned. The critic is asked "
            "about the square after it: V(s_t+n).",
        ),
        Mistake(
            _value_of_the_start,
            "You added V of the square you started on. After n rewards you stand n steps further: V(s_t+n).",
            "vformanyuk/reinforcement-learning pull request 33",
        ),
        Mistake(_no_value, "The value is missing: after n rewards the critic says what the rest is worth."),
        Mistake(
            _last_value_for_ever,
            "Past the goal you went on with the last value of the walk. There nothing comes any more: it is 0.",
        ),
        Mistake(
            _one_reward_too_many,
            "V is right, at step t + n, but the reward r_t+n was counted as well: n rewards end with r_t+n-1.",
        ),
        Mistake(
            _time_is_the_first_axis,
            "With one walk it is right. In (..., T) time is the LAST axis: `rewards.shape[-1]`, `rewards[..., t]`.",
        ),
        Mistake(
            _wraps_around, "`torch.roll` brings the first step back behind the last one. Behind the last step stands 0."
        ),
        Mistake(
            _rewards_not_discounted, "The rewards are not discounted: the reward k steps ahead counts gamma^k times."
        ),
        Mistake(
            _power_without_index,
            "The power of gamma grows, but the reward stays r_t+1. Power and index grow together: gamma^2 belongs to "
            "r_t+2.",
            "labmlai/annotated_deep_learning_paper_implementations issue 255",
        ),
        *written(n_step_returns),
    ],
    hints=[
        "With n = 0 nothing has been seen, and the answer is `values`. How do you get from n to n + 1?",
        "G with n + 1 rewards at step t is r_t + gamma * (G with n rewards at step t+1); behind the last step it is 0.",
        "Start with `G = values` and do n times: `G = rewards + gamma * torch.cat([G[..., 1:], "
        "torch.zeros_like(G[..., :1])], -1)`.",
    ],
)
