"""Notebook 00: the exercise `00.hello`, a prediction and the quiz. Also the example of how these are written."""

from __future__ import annotations

from ..check.spec import Choice, Exercise, Mistake, Prediction, Question, close

TITLE = "Start here"


# ---- 00.hello: the total reward of one walk ----------------------------------


def total_reward(rewards):
    """Add up the rewards of one walk through the maze: a list of numbers, one for each step."""
    return sum(rewards)


def _cases():
    return [([1.0],), ([-0.1, 1.0],), ([-1.0, -0.1, 1.0],), ([-0.1] * 5 + [1.0],), ([-0.1, -1.0, -1.0, -0.1],)]


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

EXERCISES = [HELLO]

# ---- predictions and quiz ----------------------------------------------------

PREDICTIONS = {
    "00.q1": Prediction(
        answer="about 60",
        why="Exactly 416/7 = 59.4, ten times the shortest way. Dice take every step back as often as forward, and one "
        "move in four ends at a wall.",
    )
}

QUIZ = [
    Question(
        "A check printed a grey line. What do the cells below it use?",
        [
            Choice("Your function", False, "Only after a green line. Grey means that the body is still empty."),
            Choice(
                "The reference", True, "Every exercise has one, so a notebook runs to its end whatever you have solved."
            ),
            Choice("Nothing: they stop", False, "No cell stops because an exercise is open or wrong."),
        ],
    ),
    Question(
        "A check says that your answer is wrong. How do you get the next hint?",
        [
            Choice("Run the same cell again", False, "The same answer again is not a new try."),
            Choice("Restart the notebook", False, "Restarting changes nothing about an answer."),
            Choice(
                "Change the answer and run the cell, or call hint",
                True,
                "Each different try opens one more hint; `hint` opens it at once.",
            ),
        ],
    ),
    Question(
        "What did the training in this notebook change?",
        [
            Choice(
                "The probabilities of the moves",
                True,
                "16 squares times 4 moves: 64 numbers. That table is all the robot is.",
            ),
            Choice("The rewards", False, "They stayed as they were: -0.1, -1 and +1. They say what is wanted."),
            Choice("The maze", False, "The maze is the world, and the world does not learn."),
        ],
    ),
    Question(
        "Where is the record of what you solved?",
        [
            Choice("On a server of the course", False, "There is none. Nothing leaves your computer."),
            Choice("In a file on your own disk", True, "progress.json, in the folder .ppo_lesson of your home folder."),
            Choice("Inside the notebook", False, "You may overwrite a notebook; the record stays."),
        ],
    ),
    Question(
        "You want to try notebook 03 today. What must you run first?",
        [
            Choice("Notebooks 00 to 02", False, "They help you to understand it. It runs without them."),
            Choice("The exercises of notebook 03", False, "Where one is open, the reference is used."),
            Choice("Nothing", True, "Every notebook runs alone, from its first cell to its last."),
        ],
    ),
]
