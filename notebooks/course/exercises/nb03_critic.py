"""Notebook 03: one sweep of TD(0), and the explained variance of a critic."""

from __future__ import annotations

import torch

from ppo_lesson.maze import Maze, optimal

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written

# ---- 03.td_update: a table of values moves towards r + gamma V(s') -----------


def td_update(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    """One sweep of TD(0) over N transitions: every visited square moves by lr times the mean of its TD errors."""
    future = torch.where(terminated, 0.0, values[next_states])  # (N,): nothing comes after the goal
    delta = rewards + gamma * future - values[states]  # (N,): the TD errors, all from the old table
    total = torch.zeros_like(values).index_add(0, states, delta)
    visits = torch.bincount(states, minlength=len(values)).clamp(min=1)
    return values + lr * total / visits


def _transitions(values, rows, lr, gamma):
    """rows: (state, reward, next state, terminated, truncated) of each transition."""
    states, rewards, next_states, terminated, truncated = zip(*rows)
    table = torch.tensor(values, dtype=torch.float64)
    flags = torch.tensor(terminated, dtype=torch.bool), torch.tensor(truncated, dtype=torch.bool)
    rewards = torch.tensor(rewards, dtype=torch.float64)
    return table, torch.tensor(states), rewards, torch.tensor(next_states), *flags, lr, gamma


def _td_cases():
    end, cut, on = (True, False), (False, True), (False, False)
    one = _transitions([1.0, 3.0, 0.0], [(0, -0.1, 1, *on)], 0.5, 0.9)
    goal = _transitions([1.0, 3.0, 7.0], [(1, 1.0, 2, *end), (0, -0.1, 1, *on)], 0.5, 0.9)
    limit = _transitions([2.0, -4.0, 7.0], [(0, -0.1, 1, *cut), (1, 1.0, 2, *end)], 0.1, 0.5)
    rows = [(0, -0.1, 1, *on), (0, -1.0, 0, *on), (1, -0.1, 0, *on), (0, -0.1, 3, *cut)]
    twice = _transitions([1.0, -2.0, 0.5, 4.0], rows, 1.0, 0.9)
    g = torch.Generator().manual_seed(0)
    n, squares = 40, 16
    states, next_states = (torch.randint(squares, (n,), generator=g) for _ in range(2))
    draw = torch.rand(n, generator=g)
    table, rewards = (torch.randn(k, generator=g, dtype=torch.float64) for k in (squares, n))
    many = (table, states, rewards, next_states, draw < 0.2, draw > 0.8, 0.3, 0.97)
    return [one, goal, limit, twice, many]


def _lands_on_the_target(fn):
    """With lr = 1, a square visited once moves exactly onto r + gamma V(s')."""
    args = _transitions([5.0, 2.0, 0.0], [(0, -0.1, 1, False, False)], 1.0, 0.5)
    close(fn(*args), torch.tensor([0.9, 2.0, 0.0]), case=args)


def _the_truth_rests(fn):
    """The exact table of a robot that always takes the best way must not move."""
    maze, best = Maze(), optimal(0.97)
    squares = torch.arange(15)
    action = best.probs[:15].argmax(-1)
    next_states = maze.next_state[squares, action]
    V = best.V.clone()
    V[15] = 123.0  # what the table says about the goal must not matter: the episode is over
    rewards, end = maze.move_reward[squares, action], next_states == maze.goal
    args = (V, squares, rewards, next_states, end, torch.zeros_like(end), 0.5, 0.97)
    close(fn(*args), V, case=args, atol=1e-6)


def _as(table, states, target, lr):
    """The update towards given targets."""
    total = torch.zeros_like(table).index_add(0, states, target - table[states])
    return table + lr * total / torch.bincount(states, minlength=len(table)).clamp(min=1)


def _goes_on_after_the_goal(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    return _as(values, states, rewards + gamma * values[next_states], lr)


def _truncation_is_the_end(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    future = torch.where(terminated | truncated, 0.0, values[next_states])
    return _as(values, states, rewards + gamma * future, lr)


def _no_gamma(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    return _as(values, states, rewards + torch.where(terminated, 0.0, values[next_states]), lr)


def _this_square_twice(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    return _as(values, states, rewards + gamma * torch.where(terminated, 0.0, values[states]), lr)


def _forgets_the_reward(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    return _as(values, states, gamma * torch.where(terminated, 0.0, values[next_states]), lr)


def _the_end_is_worthless(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    target = torch.where(terminated, 0.0, rewards + gamma * values[next_states])
    return _as(values, states, target, lr)


def _sums_over_visits(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    delta = rewards + gamma * torch.where(terminated, 0.0, values[next_states]) - values[states]
    return values.index_add(0, states, lr * delta)


def _mean_over_the_batch(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    delta = rewards + gamma * torch.where(terminated, 0.0, values[next_states]) - values[states]
    return values.index_add(0, states, lr * delta / len(states))


def _last_visit_wins(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    delta = rewards + gamma * torch.where(terminated, 0.0, values[next_states]) - values[states]
    table = values.clone()
    for s, d in zip(states, delta):
        table[s] = values[s] + lr * d
    return table


def _one_after_another(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    table = values.clone()
    for s, r, n, end in zip(states, rewards, next_states, terminated):
        table[s] += lr * (r + gamma * (0.0 if end else table[n]) - table[s])
    return table


def _leaves_out_ends(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    keep = ~terminated
    return _as(values, states[keep], (rewards + gamma * values[next_states])[keep], lr)


def _leaves_out_cuts(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    target = rewards + gamma * torch.where(terminated, 0.0, values[next_states])
    return _as(values, states[~truncated], target[~truncated], lr)


def _adds_the_target(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    target = rewards + gamma * torch.where(terminated, 0.0, values[next_states])
    return _as(values, states, target + values[states], lr)


def _backwards(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    target = rewards + gamma * torch.where(terminated, 0.0, values[next_states])
    return _as(values, states, 2 * values[states] - target, lr)


TD = Exercise(
    id="03.td_update",
    title="One sweep of TD(0)",
    solution=td_update,
    cases=_td_cases,
    properties=[_lands_on_the_target, _the_truth_rests],
    mistakes=[
        Mistake(
            _goes_on_after_the_goal,
            "A value was added after the goal. Where `terminated` is true the episode is over, and the future is worth "
            "0, whatever the table says about that square.",
            "walkinglabs/hands-on-modern-rl issue 63: a first lab that does not learn, because the end is ignored",
        ),
        Mistake(
            _truncation_is_the_end,
            "You treated the step limit as the end. A truncated walk would have gone on: its future is worth V(next "
            "square). Only `terminated` makes it 0.",
            "vwxyzjn/cleanrl issues 198, 311 and 448, Toni-SM/skrl issue 449",
        ),
        Mistake(
            _no_gamma,
            "The discount is missing: what comes one step later counts gamma times.",
            "XanderJC/scalable-birl issue 4",
        ),
        Mistake(
            _this_square_twice,
            "You looked up V of the square the robot left, twice. The target needs V of the square it reached: "
            "`values[next_states]`.",
            "Denys88/rl_games issue 128 and leggedrobotics/rsl_rl issue 151, at the step limit",
        ),
        Mistake(
            _forgets_the_reward,
            "The reward is missing from the target.",
            "PacktPublishing/Tensorflow-2-Reinforcement-Learning-Cookbook issue 34",
        ),
        Mistake(
            _the_end_is_worthless,
            "The last reward was lost together with the future. At the goal the target is the reward, not 0.",
        ),
        Mistake(
            _sums_over_visits,
            "A square that was visited five times moved five times as far. Divide by the number of its visits in this "
            "batch.",
        ),
        Mistake(
            _mean_over_the_batch,
            "You divided by N, the number of all transitions. Divide the sum of each square by the number of its own "
            "visits: `torch.bincount(states, minlength=len(values))`.",
        ),
        Mistake(
            _last_visit_wins,
            "Only the last visit of a square counted. `table[states] = ...` and `table[states] += ...` keep one of "
            "them: "
            "add them up with `index_add`.",
        ),
        Mistake(
            _one_after_another,
            "You changed the table between transitions. That is a good method too, but here all TD errors are computed "
            "from the old table, and each square moves by their mean.",
        ),
        Mistake(
            _adds_the_target,
            "The table moved by lr times the target. It must move by lr times the TD error: target minus V(s).",
        ),
        Mistake(
            _leaves_out_ends,
            "Transitions that reach the goal were left out. They are the ones that bring the news: their target is the "
            "reward alone.",
        ),
        Mistake(
            _leaves_out_cuts,
            "Transitions that the step limit cut were left out. They are as good as any: r + gamma V(s').",
        ),
        Mistake(
            _backwards,
            "The table moves away from the target: the TD error is target minus V(s), not V(s) minus target.",
        ),
        *written(td_update),
    ],
    hints=[
        "Three lines: the value of what comes next (0 after the goal), the TD errors, and the mean of the errors on "
        "each square.",
        "`torch.zeros_like(values).index_add(0, states, delta)` adds the errors up by square; `torch.bincount(states, "
        "minlength=len(values))` counts the visits.",
        "`delta = rewards + gamma * torch.where(terminated, 0.0, values[next_states]) - values[states]`; then `values "
        "+ lr "
        "* total / visits.clamp(min=1)`. You do not need `truncated`.",
    ],
)


# ---- 03.explained_variance ---------------------------------------------------


def explained_variance(values, returns):
    """1 - Var(returns - values) / Var(returns): 1 perfect, 0 no better than a constant. (N,), (N,) -> one number."""
    return 1 - (returns - values).var() / returns.var()


def _explained_cases():
    g = torch.Generator().manual_seed(1)
    returns = [torch.randn(n, generator=g, dtype=torch.float64) * 3 - 7 for n in (3, 6, 30)]
    noise = [torch.randn(len(r), generator=g, dtype=torch.float64) for r in returns]
    small = torch.tensor([0.0, 1.0, 4.0]).double(), torch.tensor([1.0, 3.0, 5.0]).double()
    worse = -2 * returns[1] + noise[1]
    biased = 0.7 * returns[2] + 4 + noise[2]
    return [small, (returns[0] + 0.3 * noise[0], returns[0]), (worse, returns[1]), (biased, returns[2])]


def _the_marks(fn):
    """A perfect critic has 1, a constant one 0."""
    returns = torch.tensor([-3.0, 1.0, 2.0]).double()
    close(fn(returns.clone(), returns), 1.0, case=(returns, returns), atol=1e-6)
    close(fn(torch.full((3,), -7.0).double(), returns), 0.0, case=(torch.full((3,), -7.0).double(), returns), atol=1e-6)


def _a_shift_is_free(fn):
    """A critic that is too high by the same amount everywhere explains as much as before."""
    values, returns = _explained_cases()[1]
    close(fn(values + 5, returns), fn(values, returns), case=(values + 5, returns), mistake="_counts_the_shift")


def _can_be_negative(fn):
    """A critic with errors larger than the returns themselves must get a negative mark."""
    values, returns = _explained_cases()[2]
    got = fn(values, returns)
    require(float(got) < 0, case=(values, returns), got=got)


def _arguments_swapped(values, returns):
    return 1 - (values - returns).var() / values.var()


def _correlation_squared(values, returns):
    v, r = values - values.mean(), returns - returns.mean()
    return (v * r).sum().square() / (v.square().sum() * r.square().sum()).clamp(min=1e-12)


def _counts_the_shift(values, returns):
    return 1 - (returns - values).square().mean() / returns.var(unbiased=False)


def _upside_down(values, returns):
    return 1 - returns.var() / (returns - values).var().clamp(min=1e-12)


def _with_deviations(values, returns):
    return 1 - (returns - values).std() / returns.std()


def _unexplained(values, returns):
    return (returns - values).var() / returns.var()


def _ratio_of_variances(values, returns):
    return values.var() / returns.var()


EXPLAINED = Exercise(
    id="03.explained_variance",
    title="How much of the returns does a critic explain?",
    solution=explained_variance,
    cases=_explained_cases,
    properties=[_the_marks, _a_shift_is_free, _can_be_negative],
    atol=1e-6,  # room for `var + 1e-8` below the line
    check_dtype=False,  # a Python float is as good
    mistakes=[
        Mistake(
            _arguments_swapped,
            "You divided by the variance of the values. The returns are to be explained, so theirs stands below.",
            "DLR-RM/stable-baselines3 issue 225",
        ),
        Mistake(
            _correlation_squared,
            "This is the squared correlation. It forgives a wrong scale and even a wrong sign, so it is never "
            "negative.",
        ),
        Mistake(
            _counts_the_shift,
            "You took the mean square of the errors, not their variance. Then a critic that is too high everywhere "
            "loses "
            "marks: that is R^2, another measure.",
        ),
        Mistake(_upside_down, "The ratio is upside down: errors above, returns below."),
        Mistake(_with_deviations, "These are standard deviations. Explained VARIANCE compares variances."),
        Mistake(_unexplained, "This is the part that is NOT explained. One minus it is asked for."),
        Mistake(
            _ratio_of_variances,
            "This says how much the values vary, not whether they vary with the returns. Use the errors, returns - "
            "values.",
        ),
        *written(explained_variance),
    ],
    hints=[
        "What a critic leaves unexplained is returns - values.",
        "Compare its variance with the variance of the returns themselves.",
        "`1 - (returns - values).var() / returns.var()`",
    ],
)
