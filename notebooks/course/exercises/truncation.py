"""truncation: what follows a step."""

import torch

from ..check import Exercise, close, rows


def what_follows(table, states, returned, final, terminated, truncated):
    """The value of what really came next, and where the trace is cut: two (..., T), the second bool."""
    ended = terminated | truncated
    arrived = torch.where(ended, final, returned)  # before any reset
    next_values = torch.where(terminated, 0.0, table[arrived])  # nothing comes after the goal
    return next_values, ended


def _record(table, steps):
    """steps: (state, returned, final, terminated, truncated) of each step; final is filled with 0 where none ended."""
    states, returned, final, terminated, truncated = (torch.tensor(column) for column in zip(*steps))
    return torch.tensor(table).double(), states, returned, final, terminated.bool(), truncated.bool()


def _drawn(seed, shape):
    g = torch.Generator().manual_seed(seed)
    table = torch.randn(16, generator=g, dtype=torch.float64) * 3
    states, returned, final = (torch.randint(1, 16, shape, generator=g) for _ in range(3))
    u = torch.rand(shape, generator=g)
    terminated, truncated = u < 0.2, u > 0.7
    ended = terminated | truncated
    returned = torch.where(ended, 0, returned)  # back on the start
    return table, states, returned, torch.where(ended, final, 0), terminated, truncated


def cases():
    return [*rows("truncation", _record)(), _drawn(0, (12,)), _drawn(1, (3, 8))]


def the_loop_rests(fn):
    case = _record([10.0], [(0, 0, 0, 0, 0), (0, 0, 0, 0, 1)] * 2)
    next_values, cut = fn(*case)
    close(1 + 0.9 * next_values, torch.full((4,), 10.0), case=case)
    close(cut.double(), [0.0, 1.0, 0.0, 1.0], case=case)


def nothing_after_the_goal(fn):
    close(fn(*cases()[1])[0][1], 0.0)


EXERCISE = Exercise(solution=what_follows, cases=cases)
