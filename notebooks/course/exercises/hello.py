"""hello: the total reward of one walk."""

from ..check.spec import Exercise, close


def total_reward(rewards):
    """Add up the rewards of one walk through the maze: a list of numbers, one for each step."""
    return sum(rewards)


def cases():
    walks = [1.0], [-0.1, 1.0], [-1.0, -0.1, 1.0], [-0.1] * 5 + [1.0], [-0.1, -1.0, -1.0, -0.1], [0.5, 0.25]
    return [(list(walk),) for walk in walks]


def one_more_step(fn):
    close(fn([-0.1, 1.0]), fn([1.0]) - 0.1, case=([-0.1, 1.0],))


def two_halves(fn):
    close(fn([-0.1, -1.0, -0.1, 1.0]), fn([-0.1, -1.0]) + fn([-0.1, 1.0]), case=([-0.1, -1.0, -0.1, 1.0],))


EXERCISE = Exercise(solution=total_reward, cases=cases)
