"""Notebook 05: its exercises (from nb05_surrogate, nb05_solver and nb05_step), three predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb05_solver import CG, FISHER
from .nb05_step import STEP
from .nb05_surrogate import KL, SURROGATE

TITLE = "Trusting old data: surrogates and TRPO"
EXERCISES = [SURROGATE, KL, FISHER, CG, STEP]

PREDICTIONS = {
    "05.q1": Prediction(
        answer="about 46",
        why="The surrogate keeps the old robot's visits, 39 in all, and pays the advantage on each of them. It does "
        "not know that a better robot makes fewer visits.",
    ),
    "05.q2": Prediction(
        answer="about -72",
        why="Update A turns three squares that the robot hardly ever enters, update B three squares that it crosses on "
        "every walk. The length of the update knows nothing about that.",
    ),
    "05.q3": Prediction(
        answer="J is at least -15,000",
        why="The theorem subtracts thousands of times more than L was really wrong by. No robot can fall below -100, "
        "so this promises nothing.",
    ),
}

QUIZ = [
    Question(
        "A step of an old walk has ratio 1.5 and advantage -2. What does it add to the surrogate, and where does the "
        "gradient push the ratio?",
        [
            Choice("-1.33, and down", False, "That is A divided by the ratio: old over new."),
            Choice("-3, and down", True, "1.5 times -2. The action was worse than average, so its ratio shall fall."),
            Choice(
                "-3, and up: the surrogate maximises the ratio",
                False,
                "It maximises ratio times advantage. Where A < 0 a smaller ratio is better.",
            ),
        ],
    ),
    Question(
        "In what do the surrogate and the exact J agree?",
        [
            Choice(
                "In their value, for every new policy that lies along the gradient",
                False,
                "Ten units along the gradient: 46 against 0.2.",
            ),
            Choice("In their highest value", False, "The highest L of all policies is 61.9, the highest J 0.46."),
            Choice(
                "In value and slope at the old policy, nowhere else in general",
                True,
                "That is why a short step up the surrogate is a step up J, and why it must be short.",
            ),
        ],
    ),
    Question(
        "Why measure an update in KL rather than by its length in parameters?",
        [
            Choice(
                "The same length may change nothing or everything, depending on the visits and the probabilities",
                True,
                "KL 0.001 and KL 3 had the same length. KL looks at what the robot does, not at the table behind it.",
            ),
            Choice("KL is cheaper to compute", False, "The length is cheaper by far."),
            Choice("KL is symmetric, a length is not", False, "It is the other way round."),
        ],
    ),
    Question(
        "What does conjugate gradient ask of the Fisher matrix?",
        [
            Choice("Its inverse", False, "The inverse times g is what it finds, without forming either matrix."),
            Choice("All its entries, once", False, "For a network of 5,000 weights that would be 25 million numbers."),
            Choice(
                "Its product with a vector, once a round",
                True,
                "Two derivatives of the mean KL give it, at the price of a gradient or two.",
            ),
        ],
    ),
    Question(
        "What does the theory say about a TRPO step with δ = 0.01?",
        [
            Choice(
                "That J cannot fall",
                False,
                "The theorem's bound allows far less than 0.01. J rises in practice, which is a measurement.",
            ),
            Choice(
                "Nothing useful: the bound is far below what any robot can do. It explains why KL is the right ruler",
                True,
                "The step it would allow is millions of times shorter in KL. TRPO takes its shape and drops its size.",
            ),
            Choice("That the step is too short", False, "The bound asks for a much shorter one."),
        ],
    ),
]
