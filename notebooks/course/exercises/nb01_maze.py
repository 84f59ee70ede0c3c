"""Notebook 01: returns by recursion, V by one linear solve. 01.step is in nb01_step.py, the quiz in nb01_maze.toml."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written

# ---- 01.returns: the return from every step on -------------------------------


def returns(rewards, gamma):
    """The return from every step on, by G_t = r_t + gamma * G_{t+1}, from the last step to the first."""
    G, result = 0.0, []
    for reward in reversed(rewards):
        G = reward + gamma * G
        result.append(G)
    return result[::-1]


def _returns_cases():
    walk = [-0.1, -1.0, -0.1, -0.1, -1.0, -0.1, 1.0]
    short = [([1.0], 0.5), ([-0.1, 1.0], 0.5), ([1.0, 2.0, 4.0], 0.5), ([-1.0, -0.1, 1.0], 0.0)]
    return [*short, ([0.0, 0.0, 1.0, 0.0], 0.9), (walk, 1.0), (walk, 0.9)]


def _recursion(fn):
    """G_t = r_t + gamma * G_{t+1} must hold at every step, and after the last step there is nothing."""
    for rewards, gamma in _returns_cases():
        G = [float(x) for x in fn(rewards, gamma)]
        for t, (r, now, later) in enumerate(zip(rewards, G, [*G[1:], 0.0])):
            require(abs(now - (r + gamma * later)) < 1e-6, f"It does not at t = {t}.", case=(rewards, gamma), got=G)


def _two_steps(fn):
    """Two rewards a and b have the returns a + gamma * b and b."""
    close(fn([3.0, 5.0], 0.1), [3.5, 5.0], case=([3.0, 5.0], 0.1))


def _no_gamma(rewards, gamma):
    return [float(sum(rewards[t:])) for t in range(len(rewards))]


def _weights_only(rewards, gamma):
    return [r * gamma**t for t, r in enumerate(rewards)]


def _one_total(rewards, gamma):
    return [sum(r * gamma**t for t, r in enumerate(rewards))] * len(rewards)


def _one_number(rewards, gamma):
    return returns(rewards, gamma)[0]


def _from_the_start(rewards, gamma):
    G, result = 0.0, []
    for reward in rewards:
        G = reward + gamma * G
        result.append(G)
    return result


def _backwards(rewards, gamma):
    return returns(rewards, gamma)[::-1]


def _reverses_every_time(rewards, gamma):
    G, result = 0.0, []
    for reward in reversed(rewards):
        G = reward + gamma * G
        result.append(G)
        result.reverse()
    return result


def _without_this_reward(rewards, gamma):
    return [*returns(rewards, gamma)[1:], 0.0]


def _shifted(rewards, gamma):
    return [*returns(rewards, gamma)[1:], rewards[-1]]


def _one_gamma_too_many(rewards, gamma):
    return [gamma * G for G in returns(rewards, gamma)]


def _clock_never_restarts(rewards, gamma):
    return [gamma**t * G for t, G in enumerate(returns(rewards, gamma))]


def _times_k(rewards, gamma):
    return [sum(gamma * k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))]


def _rewards_from_the_start(rewards, gamma):
    return [sum(gamma**k * rewards[k] for k in range(len(rewards) - t)) for t in range(len(rewards))]


def _starts_over_at_rewards(rewards, gamma):
    G, result = 0.0, []
    for reward in reversed(rewards):
        if reward != 0:
            G = 0.0
        G = reward + gamma * G
        result.append(G)
    return result[::-1]


RETURNS = Exercise(
    id="01.returns",
    title="The return from every step on",
    solution=returns,
    cases=_returns_cases,
    properties=[_two_steps, _recursion],
    check_dtype=False,
    mistakes=[
        Mistake(_no_gamma, "`gamma` is never used: a reward five steps ahead counts as much as one now."),
        Mistake(
            _weights_only,
            "You weighted each reward, but added nothing up. A return is a sum: this reward and all later ones.",
            "hunkim/ReinforcementZeroToAll issue 1",
        ),
        Mistake(
            _one_total,
            "Every step got the return of the whole walk. For step t only the rewards from t on count.",
            "udacity/deep-reinforcement-learning issue 42",
        ),
        Mistake(
            _one_number, "One number came back, the return from the start. Give a list: one return for every step."
        ),
        Mistake(
            _from_the_start,
            "You add up the past. A return looks ahead: begin with the last reward and go back in time.",
            "openai/gym pull request 3152",
        ),
        Mistake(
            _backwards,
            "The right numbers in reverse order: you began with the last step. Turn the list round at the end.",
        ),
        Mistake(
            _reverses_every_time,
            "The list is turned round inside the loop, once for every step. Do it once, after the loop.",
            "PacktPublishing/Tensorflow-2-Reinforcement-Learning-Cookbook issue 27",
        ),
        Mistake(
            _without_this_reward,
            "The reward of step t itself is missing from G_t. Some textbooks call it R_{t+1}, because it is seen one "
            "moment later; it is still the first one that counts.",
        ),
        Mistake(_times_k, "`gamma * k` is no power: the reward k steps ahead counts `gamma ** k` times."),
        Mistake(
            _rewards_from_the_start,
            "The sum for step t takes the first rewards of the walk, from step 0 on. It begins at t: `rewards[t + k]`.",
        ),
        Mistake(
            _shifted,
            "Step t got the return of step t+1. The action at t earned the reward at t, so that reward belongs to it.",
            "shehzaadzd/MINERVA issue 28",
        ),
        Mistake(
            _one_gamma_too_many,
            "Every value is multiplied by `gamma` once too often: the reward of the step itself is not discounted.",
            "Farama-Foundation/MO-Gymnasium issue 99",
        ),
        Mistake(
            _clock_never_restarts,
            "You count time from the start. Seen from step t, the reward at t has weight 1 and the next one γ.",
        ),
        Mistake(
            _starts_over_at_rewards,
            "The sum starts over at every reward that is not zero. That line is for the game of Pong, where a point "
            "ends a round; here every step has a reward.",
            "titu1994/neural-architecture-search pull request 9",
        ),
        *written(returns),
    ],
    hints=[
        "After the last step there is nothing, so its return is its reward. What is the return one step earlier?",
        "Go through `reversed(rewards)` and keep one number `G`, which starts at 0.",
        "In the loop: `G = reward + gamma * G`, then append it. Turn the list round at the end.",
    ],
)


# ---- 01.solve_v: sixteen equations, sixteen unknowns -------------------------


def solve_v(P, r, gamma):
    """The value of every square, from V = r + gamma * P V, that is (I - gamma * P) V = r."""
    identity = torch.eye(len(r), dtype=P.dtype)
    return torch.linalg.solve(identity - gamma * P, r)


def _solve_cases():
    from ppo_lesson.maze import Maze

    def both(P, r):
        return torch.tensor(P, dtype=torch.float64), torch.tensor(r, dtype=torch.float64)

    chain = both([[0.0, 1.0], [0.0, 0.0]], [-0.1, 1.0])
    loop = both([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8], [0.0, 0.0, 0.0]], [-0.1, 0.78, 0.0])
    maze = Maze()
    acting = maze.open.double()
    uniform = maze.transitions.mean(1) * acting[:, None], maze.rewards.mean(1)
    return [(*chain, 0.5), (*loop, 0.0), (*loop, 0.9), (*loop, 1.0), (*uniform, 0.9), (*uniform, 0.99), (*uniform, 1.0)]


def _bellman(fn):
    """The Bellman equation V = r + gamma * P V must hold to 1e-11 on every square."""
    for P, r, gamma in _solve_cases():
        V = fn(P.clone(), r.clone(), gamma)
        off = (V - (r + gamma * P @ V)).abs().max()
        nearly = "_thousand_sweeps" if off < 1e-3 else ""
        require(off < 1e-11, f"It is off by {off:.3g}.", case=(P, r, gamma), got=V, mistake=nearly)


def _short_sight(fn):
    """With gamma 0 nothing later counts, so V is r."""
    P, r, _ = _solve_cases()[1]
    close(fn(P, r, 0.0), r, case=(P, r, 0.0))


def _transposed(P, r, gamma):
    return torch.linalg.solve(torch.eye(len(r), dtype=P.dtype) - gamma * P.T, r)


def _forgets_gamma(P, r, gamma):
    return torch.linalg.solve(torch.eye(len(r), dtype=P.dtype) - P, r)


def _plus(P, r, gamma):
    return torch.linalg.solve(torch.eye(len(r), dtype=P.dtype) + gamma * P, r)


def _other_way_round(P, r, gamma):
    return torch.linalg.solve(gamma * P - torch.eye(len(r), dtype=P.dtype), r)


def _reward_of_the_next_square(P, r, gamma):
    return torch.linalg.solve(torch.eye(len(r), dtype=P.dtype) - gamma * P, P @ r)


def _one_look_ahead(P, r, gamma):
    return r + gamma * P @ r


def _times_for_matrix_product(P, r, gamma):
    return torch.linalg.inv(torch.eye(len(r), dtype=P.dtype) - gamma * P) * r


def _thousand_sweeps(P, r, gamma):
    V = torch.zeros_like(r)
    for _ in range(1000):
        V = r + gamma * P @ V
    return V


SOLVE_V = Exercise(
    id="01.solve_v",
    title="The value of every square by one linear solve",
    solution=solve_v,
    cases=_solve_cases,
    properties=[_short_sight, _bellman],
    mistakes=[
        Mistake(_transposed, "`P` is transposed. Row s of `P` says where the robot goes from s; V(s) needs that row."),
        Mistake(
            _forgets_gamma,
            "`gamma` is missing: you solved the equation for gamma = 1.",
            "FrancescoSaverioZuppichini/Reinforcement-Learning-Cheat-Sheet pull request 7",
        ),
        Mistake(_plus, "Bring gamma * P V to the left side and its sign changes: V - gamma * P V = r."),
        Mistake(_other_way_round, "The sign is flipped: the matrix is I - gamma * P, not gamma * P - I."),
        Mistake(
            _reward_of_the_next_square,
            "Your rewards come one step late: `r` is what the robot earns on leaving s, `P @ r` is the step after.",
            "yrlu/irl-imitation issue 3",
        ),
        Mistake(_one_look_ahead, "This looks one step ahead and stops. V stands on both sides: solve for it."),
        Mistake(
            _times_for_matrix_product,
            "`*` multiplies entry by entry. Use `@` with an inverse, or `torch.linalg.solve`.",
        ),
        Mistake(
            _thousand_sweeps,
            "Close, but not exact. Sweeps come nearer and never arrive, and float32 has seven digits only: solve "
            "(I - gamma * P) V = r, in float64.",
        ),
        *written(solve_v),
    ],
    hints=[
        "The unknown V stands on both sides of V = r + gamma * P V. Bring both to the left.",
        "(I - gamma * P) V = r is a matrix times an unknown vector. I is `torch.eye(len(r), dtype=P.dtype)`.",
        "`torch.linalg.solve(A, b)` gives the x with A x = b.",
    ],
)
