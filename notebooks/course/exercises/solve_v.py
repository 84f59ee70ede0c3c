"""solve_v: the value of every square by one linear solve."""

import torch

from ..check import Exercise, examples, require, rows


def solve_v(P, r, gamma):
    """The value of every square, from V = r + gamma * P V, that is (I - gamma * P) V = r."""
    identity = torch.eye(len(r), dtype=P.dtype)
    return torch.linalg.solve(identity - gamma * P, r)


def cases():
    from ppo_lesson.maze import Maze

    maze = Maze()
    uniform = maze.transitions.mean(1) * maze.open.double()[:, None], maze.rewards.mean(1)
    return rows("solve_v")() + [(*uniform, gamma) for gamma in (0.9, 0.99, 1.0)]


def bellman(fn):
    for P, r, gamma in cases():
        V = fn(P.clone(), r.clone(), gamma)
        off = (V - (r + gamma * P @ V)).abs().max()
        nearly = "thousand_sweeps" if off < 1e-3 else ""
        require(off < 1e-11, f"It is off by {off:.3g}.", case=(P, r, gamma), got=V, mistake=nearly)


def draw_values(fn):
    """The maze with the learner's values of the random robot, undiscounted."""
    from ppo_lesson.maze import Maze

    from ..pictures import draw_maze, figure

    V = fn(*cases()[-1])
    fig, ax = figure(width=3.2, height=3.2)
    draw_maze(ax, Maze(), values=V)
    return fig, {"V": float(V[0])}


EXERCISE = Exercise(solution=solve_v, cases=cases, suite=examples("solve_v"), picture=draw_values)
