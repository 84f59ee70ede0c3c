"""Notebook 02: three exercises (from nb02_score, nb02_estimate and nb02_repair), three predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb02_estimate import ESTIMATE
from .nb02_repair import REPAIR
from .nb02_score import SCORE

TITLE = "Policy gradient"
EXERCISES = [SCORE, ESTIMATE, REPAIR]

PREDICTIONS = {
    "02.q1": Prediction(
        answer="PyTorch refuses: R does not depend on θ",
        why="Between θ and R stand a random draw and a table look-up. Neither has a slope, so R is a plain number with "
        "no memory of θ.",
    ),
    "02.q2": Prediction(
        answer="they wander without direction",
        why="The rewards have no gradient, and the penalty's gradient is zero on average. What is left is noise. "
        "Adam makes full-sized steps along it, and random habits are worse than no habits.",
    ),
    "02.q3": Prediction(
        answer="about 0.3",
        why="Eight walks give an arrow that is mostly noise. It is still right on average, and sixty such steps add up "
        "to the right direction.",
    ),
}

QUIZ = [
    Question(
        "The policy loss of a REINFORCE run rises from about -800 to about 1. What do you know about the robot?",
        [
            Choice("It gets worse: a loss should fall", False, "Not this one. Here the loss rose while J climbed."),
            Choice(
                "Nothing: look at its return",
                True,
                "The batch is drawn anew from a new policy each time, so the numbers do not measure the same thing.",
            ),
            Choice("It gets better: this loss has to rise", False, "It may fall in a good run too."),
        ],
    ),
    Question(
        "Why can you train a robot without knowing the maze's probabilities P(s' | s, a)?",
        [
            Choice(
                "Because they do not depend on θ, so their slope is zero",
                True,
                "log of the walk's probability is a sum, and the maze's terms in it have no θ.",
            ),
            Choice("Because they are all 0 or 1 here", False, "The same holds on a slippery floor: you checked one."),
            Choice(
                "Because they have mean zero",
                False,
                "Past rewards times a score have mean zero. The maze's terms are gone already before any mean.",
            ),
        ],
    ),
    Question(
        "Where does a penalty for straying from a reference policy belong?",
        [
            Choice(
                "Beside the reward: reward - β (log π - log π_ref), then backward()",
                False,
                "There its gradient is zero on average, whatever β is, and the reward has none at all.",
            ),
            Choice(
                "Inside the weights: part of the reward that multiplies log π",
                True,
                "Then a step that strays lowers the weight of itself and of what led to it.",
            ),
            Choice("Nowhere: REINFORCE stays close by itself", False, "Nothing in it holds the policy back."),
        ],
    ),
    Question(
        "A robot's J is -10 at γ = 0.99, and training no longer changes it. What does the robot do?",
        [
            Choice("It bumps into a wall for ever", False, "Bumping for ever costs 1 a step: -1 / (1 - 0.99) = -100."),
            Choice("It arrives after ten bumps", False, "Then it would meet the goal in its walks and could learn."),
            Choice(
                "It circles for ever",
                True,
                "0.1 a step for ever: -0.1 / (1 - 0.99) = -10. All other actions are so rare that no gradient is left.",
            ),
        ],
    ),
    Question(
        "Practice drops the factor γ^t. Where does the arrow then point, averaged over many walks?",
        [
            Choice("Along the gradient of J, only noisier", False, "It is not the noise: the mean itself is another."),
            Choice(
                "Elsewhere: late squares count as much as early ones",
                True,
                "Each visit counts fully. At γ = 0.9 the cosine with the gradient of J is 0.839, at 0.99 it is 0.997.",
            ),
            Choice(
                "Along the gradient of J at γ = 1",
                False,
                "The visits are counted as at γ = 1, but the returns behind them are still discounted.",
            ),
        ],
    ),
]
