"""hello: the total reward of one walk."""

from ..check import Exercise, close, rows


def total_reward(rewards):
    """Add up the rewards of one walk through the maze: a list of numbers, one for each step."""
    return sum(rewards)


def one_more_step(fn):
    close(fn([-0.1, 1.0]), fn([1.0]) - 0.1, case=([-0.1, 1.0],))


def two_halves(fn):
    close(fn([-0.1, -1.0, -0.1, 1.0]), fn([-0.1, -1.0]) + fn([-0.1, 1.0]), case=([-0.1, -1.0, -0.1, 1.0],))


EXERCISE = Exercise(solution=total_reward, cases=rows("hello"))
