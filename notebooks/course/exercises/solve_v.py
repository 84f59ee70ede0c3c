"""solve_v: the value of every square by one linear solve."""

import torch

from ..check.spec import Exercise, close, require


def solve_v(P, r, gamma):
    """The value of every square, from V = r + gamma * P V, that is (I - gamma * P) V = r."""
    identity = torch.eye(len(r), dtype=P.dtype)
    return torch.linalg.solve(identity - gamma * P, r)


def cases():
    from ppo_lesson.maze import Maze

    def both(P, r):
        return torch.tensor(P, dtype=torch.float64), torch.tensor(r, dtype=torch.float64)

    chain = both([[0.0, 1.0], [0.0, 0.0]], [-0.1, 1.0])
    loop = both([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8], [0.0, 0.0, 0.0]], [-0.1, 0.78, 0.0])
    maze = Maze()
    acting = maze.open.double()
    uniform = maze.transitions.mean(1) * acting[:, None], maze.rewards.mean(1)
    return [(*chain, 0.5), (*loop, 0.0), (*loop, 0.9), (*loop, 1.0), (*uniform, 0.9), (*uniform, 0.99), (*uniform, 1.0)]


def bellman(fn):
    for P, r, gamma in cases():
        V = fn(P.clone(), r.clone(), gamma)
        off = (V - (r + gamma * P @ V)).abs().max()
        nearly = "thousand_sweeps" if off < 1e-3 else ""
        require(off < 1e-11, f"It is off by {off:.3g}.", case=(P, r, gamma), got=V, mistake=nearly)


def short_sight(fn):
    P, r, _ = cases()[1]
    close(fn(P, r, 0.0), r, case=(P, r, 0.0))


EXERCISE = Exercise(solution=solve_v, cases=cases)
