"""Notebook 00: the exercise `00.hello`, a prediction and the quiz. Also the example of how these are written."""

from __future__ import annotations

from ..check.spec import Exercise, Mistake, close

# ---- 00.hello: the total reward of one walk ----------------------------------


def total_reward(rewards):
    """Add up the rewards of one walk through the maze: a list of numbers, one for each step."""
    return sum(rewards)


def _cases():
    walks = [1.0], [-0.1, 1.0], [-1.0, -0.1, 1.0], [-0.1] * 5 + [1.0], [-0.1, -1.0, -1.0, -0.1], [0.5, 0.25]
    return [(list(walk),) for walk in walks]


def _one_more_step(fn):
    """One more step of -0.1 at the start of a walk lowers its total by 0.1."""
    close(fn([-0.1, 1.0]), fn([1.0]) - 0.1, case=([-0.1, 1.0],))


def _two_halves(fn):
    """The totals of two halves of a walk add up to the total of the walk."""
    close(fn([-0.1, -1.0, -0.1, 1.0]), fn([-0.1, -1.0]) + fn([-0.1, 1.0]), case=([-0.1, -1.0, -0.1, 1.0],))


def _counts_steps(rewards):
    return float(len(rewards))


def _forgets_last(rewards):
    return float(sum(rewards[:-1]))


def _forgets_first(rewards):
    return float(sum(rewards[1:]))


def _averages(rewards):
    return sum(rewards) / len(rewards)


def _best_step(rewards):
    return max(rewards)


def _last_reward(rewards):
    return rewards[-1]


def _rounds(rewards):
    return round(sum(rewards), 1)


def _returns_inside_the_loop(rewards):
    total = 0.0
    for reward in rewards:
        total += reward
        return total


HELLO = Exercise(
    id="00.hello",
    title="The total reward of one walk",
    solution=total_reward,
    cases=_cases,
    properties=[_one_more_step, _two_halves],
    mistakes=[
        Mistake(_counts_steps, "You counted the steps. Each step has its own reward: add these up."),
        Mistake(
            _forgets_last,
            "The last reward is missing, and it is the one for reaching the goal.",
            "weipu-zhang/STORM issue 16 and HorizonRobotics/alf pull request 256",
        ),
        Mistake(_forgets_first, "The first reward is missing: Python counts from 0."),
        Mistake(_averages, "This is the mean. The robot keeps every reward, so do not divide by the number of steps."),
        Mistake(_best_step, "This is the largest single reward. The robot also pays for all the other steps."),
        Mistake(
            _last_reward, "This is the LAST reward alone. `total = reward` keeps the newest: write `total += reward`."
        ),
        Mistake(_rounds, "You rounded to one decimal: 0.5 and 0.25 make 0.75. Give the sum as it is."),
        Mistake(
            _returns_inside_the_loop,
            "Only the first reward came back: the `return` stands inside the loop. Move it one level to the left.",
        ),
    ],
    hints=[
        "A walk with the rewards -0.1 and 1.0 has the total 0.9.",
        "Python has a function that adds up a list.",
        "The body is one line: `return sum(rewards)`.",
    ],
)
