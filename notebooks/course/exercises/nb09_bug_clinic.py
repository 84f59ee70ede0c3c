"""Notebook 09: four exercises (from nb09_ward, nb09_healthy, nb09_walk and nb09_tutorial), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb09_healthy import HEALTHY
from .nb09_tutorial import TUTORIAL
from .nb09_walk import WALK
from .nb09_ward import LINE

TITLE = "The bug clinic"
EXERCISES = [LINE, HEALTHY, WALK, TUTORIAL]

PREDICTIONS = {
    "09.q1": Prediction(
        answer="9 or more",
        why="Ten of twelve. A wrong gradient that points roughly upwards still climbs in so small a maze; its "
        "price shows in speed, in the critic and in single seeds. A return that rises is no proof of anything.",
    ),
    "09.q2": Prediction(
        answer="those that change where learning ends up, not how it gets there",
        why="A probe compares the end of a run with a known answer. Its task is so small that a detour, a lost fence "
        "or a missing brake still leads to the right end.",
    ),
    "09.q3": Prediction(
        answer="none of the eight",
        why="Each line looks like the line it should be. Several errors hide behind each other: while the score stands "
        "on padding, nobody asks what else stands there.",
    ),
}

QUIZ = [
    Question(
        "A run with a new trainer climbs to the return of the old one. What does that say about bugs in it?",
        [
            Choice("There are none", False, "Ten of the twelve patients get there too."),
            Choice(
                "Very little: most silent bugs let the return climb",
                True,
                "They cost speed, spread or single seeds; a check of one update finds them in a second.",
            ),
            Choice(
                "There is none in the policy's part; the critic may still be wrong",
                False,
                "Patients 6 and 9 are sick in the policy's part, and climb faster than the healthy trainer.",
            ),
        ],
    ),
    Question(
        "Which number is known before the run, whatever the task is?",
        [
            Choice(
                "The ratio before the first step: 1", True, "Old and new policy are the same there; it must be exact."
            ),
            Choice(
                "The clip fraction: between 0.1 and 0.3",
                False,
                "That is a habit, not a law; it depends on the step size.",
            ),
            Choice("The explained variance: above 0", False, "Early in a healthy run it is often below 0."),
            Choice("The entropy: falling", False, "In the beginning it may rise, and it should not fall to 0 at once."),
        ],
    ),
    Question(
        "Where an episode terminates with reward r, what must the critic's target be?",
        [
            Choice("r + γ V(start)", False, "The start belongs to the next episode."),
            Choice("It depends on λ", False, "λ weighs later surprises; after a last step there are none."),
            Choice("r", True, "Nothing follows. If it says anything else, an end or a reward stands in the wrong row."),
        ],
    ),
    Question(
        "The policy loss is the same number in every epoch of an update. First suspect?",
        [
            Choice("The learning rate is too small", False, "A small step moves the loss a little, not by exactly 0."),
            Choice(
                "Whitening: the advantages have mean 0",
                False,
                "That makes the loss 0 before the first step; later epochs move away from it.",
            ),
            Choice(
                "The old log-probabilities follow the new ones",
                True,
                "Then the ratio is 1 in every epoch, and minus the mean of the whitened advantages stays what it was.",
            ),
        ],
    ),
    Question(
        "A tutorial's loss for language models never mentions the mask. What does padding do?",
        [
            Choice(
                "It changes losses and advantages, and with them the gradient",
                True,
                "Values on padding walk into the advantages from the right, and means divide by tokens nobody wrote.",
            ),
            Choice("Nothing: padding has reward 0", False, "It has a value, a ratio and a place in the mean."),
            Choice("It costs time only", False, "The suite shows other numbers with five more columns of padding."),
        ],
    ),
]
