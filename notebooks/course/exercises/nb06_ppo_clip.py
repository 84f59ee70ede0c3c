"""Notebook 06: four exercises (from nb06_surrogate, nb06_watch and nb06_dual), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb06_dual import DUAL
from .nb06_surrogate import SURROGATE
from .nb06_watch import FRACTION, STOP

TITLE = "PPO-Clip: six cases and one myth"
EXERCISES = [SURROGATE, FRACTION, STOP, DUAL]

PREDICTIONS = {
    "06.q1": Prediction(
        answer="∇ log π · A",
        why="The ratio has the value 1, and it has a slope. A number says nothing about its own slope: the slope of "
        "exp(log π - log π_old) at ratio 1 is the slope of log π.",
    ),
    "06.q2": Prediction(
        answer="2",
        why="The minimum takes the flat product where it is the smaller one: A > 0 with a ratio above the fence, A < 0 "
        "with a ratio below it. On the other two sides outside the fence the gradient is whole.",
    ),
    "06.q3": Prediction(
        answer="above 1",
        why="The first Adam step of size 1 jumps over the fence before anything can be clipped: KL 0.4. The nine steps "
        "that follow add the rest: momentum and neighbours carry on, and clipping brings nothing back. A KL of 1 is a "
        "hundred times what TRPO allows for a whole update.",
    ),
}

QUIZ = [
    Question(
        "A run has one epoch and one mini-batch per rollout, so every ratio is exactly 1. What does the policy learn?",
        [
            Choice(
                "What a plain policy-gradient step teaches",
                True,
                "At ratio 1 the gradient of ratio * A is ∇ log π * A. Clipping never acts, and learning goes on.",
            ),
            Choice(
                "Nothing: at a constant ratio of 1 only the critic learns",
                False,
                "The value of the ratio is 1; its slope is not 0.",
            ),
            Choice("Nothing until the ratio leaves 1", False, "It is the gradient that makes it leave 1."),
        ],
    ),
    Question(
        "A = -1, and the action has become 5 times as likely as it was. ε = 0.2, no dual clip. What is the objective?",
        [
            Choice("-1.2: the ratio is clipped to 1.2", False, "The minimum takes the smaller product, and -5 < -1.2."),
            Choice("-0.8: limited by the lower fence", False, "The ratio is above the fence, not below it."),
            Choice(
                "-5, with its full gradient",
                True,
                "A bad action became likely: the objective pushes it back with everything it has.",
            ),
        ],
    ),
    Question(
        "A log shows: 40 % of the ratios lie outside [0.8, 1.2]. How many samples have lost their gradient?",
        [
            Choice("40 %", False, "That is the loose count. It does not ask for the sign of A."),
            Choice(
                "Between 0 and 40 %: it depends on the signs of A",
                True,
                "Only A > 0 above and A < 0 below the fence are flat.",
            ),
            Choice("60 %", False, "Inside the fence every gradient is whole."),
        ],
    ),
    Question(
        "Step size 3, clip, and a KL stop that is tested before every step. Many robots still get lost. Why?",
        [
            Choice(
                "The stop is too loose; half of the target would do",
                False,
                "No target helps: the first test sees KL 0.",
            ),
            Choice("ε is too wide", False, "At ratio 1 no ε clips anything."),
            Choice(
                "The first step comes before any KL can be seen",
                True,
                "The test comes before the step, the damage comes with it. Only a shorter step helps.",
            ),
        ],
    ),
    Question(
        "What does the dual clip with c = 3 change?",
        [
            Choice(
                "Where A < 0 and the ratio is above 3: no gradient",
                True,
                "max(objective, 3 A) bounds the one side that the clip leaves open.",
            ),
            Choice(
                "Samples with A < 0 whose probability has become very low",
                False,
                "Those were flat already: the ordinary clip holds them at -(1 - ε) |A|.",
            ),
            Choice("All samples with a ratio above 3", False, "For A > 0 the ordinary clip stopped at 1 + ε already."),
        ],
    ),
]
