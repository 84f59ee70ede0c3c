"""hello: the total reward of one walk."""

from ..check.spec import Exercise, close


def total_reward(rewards):
    """Add up the rewards of one walk through the maze: a list of numbers, one for each step."""
    return sum(rewards)


def cases():
    walks = [1.0], [-0.1, 1.0], [-1.0, -0.1, 1.0], [-0.1] * 5 + [1.0], [-0.1, -1.0, -1.0, -0.1], [0.5, 0.25]
    return [(list(walk),) for walk in walks]


def one_more_step(fn):
    """One more step of -0.1 at the start of a walk lowers its total by 0.1."""
    close(fn([-0.1, 1.0]), fn([1.0]) - 0.1, case=([-0.1, 1.0],))


def two_halves(fn):
    """The totals of two halves of a walk add up to the total of the walk."""
    close(fn([-0.1, -1.0, -0.1, 1.0]), fn([-0.1, -1.0]) + fn([-0.1, 1.0]), case=([-0.1, -1.0, -0.1, 1.0],))


EXERCISE = Exercise(solution=total_reward, cases=cases, properties=[one_more_step, two_halves])
