"""td_update: one sweep of TD(0)."""

import torch

from ppo_lesson.maze import Maze, optimal

from ..check import Exercise, close, examples, rows


def td_update(values, states, rewards, next_states, terminated, truncated, lr, gamma):
    """One sweep of TD(0) over N transitions: every visited square moves by lr times the mean of its TD errors."""
    future = torch.where(terminated, 0.0, values[next_states])  # (N,): nothing comes after the goal
    delta = rewards + gamma * future - values[states]  # (N,): the TD errors, all from the old table
    total = torch.zeros_like(values).index_add(0, states, delta)
    visits = torch.bincount(states, minlength=len(values)).clamp(min=1)
    return values + lr * total / visits


def _transitions(values, steps, lr, gamma):
    """steps: (state, reward, next state, terminated, truncated) of each transition."""
    states, rewards, next_states, terminated, truncated = zip(*steps)
    table = torch.tensor(values, dtype=torch.float64)
    flags = torch.tensor(terminated, dtype=torch.bool), torch.tensor(truncated, dtype=torch.bool)
    rewards = torch.tensor(rewards, dtype=torch.float64)
    return table, torch.tensor(states), rewards, torch.tensor(next_states), *flags, lr, gamma


def many(n=40, squares=16):
    """Transitions from everywhere to everywhere; some terminate, some are cut."""
    g = torch.Generator().manual_seed(0)
    states, next_states = (torch.randint(squares, (n,), generator=g) for _ in range(2))
    draw = torch.rand(n, generator=g)
    table, rewards = (torch.randn(k, generator=g, dtype=torch.float64) for k in (squares, n))
    return table, states, rewards, next_states, draw < 0.2, draw > 0.8, 0.3, 0.97


def cases():
    return [*rows("td_update", _transitions)(), many()]


def the_truth_rests(fn):
    maze, best = Maze(), optimal(0.97)
    squares = torch.arange(15)
    action = best.probs[:15].argmax(-1)
    next_states = maze.next_state[squares, action]
    V = best.V.clone()
    V[15] = 123.0  # what the table says about the goal must not matter: the episode is over
    rewards, end = maze.move_reward[squares, action], next_states == maze.goal
    args = (V, squares, rewards, next_states, end, torch.zeros_like(end), 0.5, 0.97)
    close(fn(*args), V, case=args, atol=1e-6)


EXERCISE = Exercise(solution=td_update, cases=cases, suite=examples("td_update", _transitions))
