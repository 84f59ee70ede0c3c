"""Notebook 07: three exercises (nb07_surrogate, nb07_rules, nb07_estimates), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb07_estimates import ESTIMATES
from .nb07_rules import RULE
from .nb07_surrogate import SURROGATE

TITLE = "PPO-Penalty, and the two KLs"
EXERCISES = [SURROGATE, RULE, ESTIMATES]

PREDICTIONS = {
    "07.q1": Prediction(
        answer="the same direction, whatever β is",
        why="At π_old the distance is 0, and 0 is the lowest a distance can be. At its lowest point a smooth curve is "
        "flat, so the price has no slope there yet. It begins to pull with the second step.",
    ),
    "07.q2": Prediction(
        answer="about 5",
        why="Each update halves β, and 2 to the power of 4 is 16: from 100 to 6.25 in four updates. An error of 100 "
        "times is at most seven halvings.",
    ),
    "07.q3": Prediction(
        answer="nothing: a mean of 64 samples may fall below 0",
        why="The exact KL is never negative. log π - log π_ref of one draw is negative whenever the reference likes "
        "that draw more, and a small batch can hold many of those.",
    ),
}

QUIZ = [
    Question(
        "The target is 0.01, β is 2, and the update moved the policy by a KL of 0.013. What does the paper's rule do?",
        [
            Choice("It doubles β: 0.013 is above the target", False, "Only above 1.5 * target, which is 0.015."),
            Choice("It keeps β = 2", True, "0.013 lies in the dead zone, between 0.0067 and 0.015."),
            Choice("It halves β: 0.013 is below 1.5 times the target", False, "Going down starts below target / 1.5."),
        ],
    ),
    Question(
        "A run keeps the KL to the old policy at 0.01 in each of 200 updates. How far is it from where it started?",
        [
            Choice(
                "You cannot tell: the leash to yesterday's policy says nothing about home",
                True,
                "Small steps add up, and they may also turn back. Measure the KL to the first policy itself.",
            ),
            Choice("At most 0.01", False, "That bounds one update. The old policy moves along with the new one."),
            Choice("Exactly 200 times 0.01 = 2", False, "KLs of steps do not add up to the KL of the whole way."),
        ],
    ),
    Question(
        "Code has `loss = ppo_loss - beta * kl` and an optimizer that goes down. What happens?",
        [
            Choice("The policy stays near the reference", False, "For that the loss has to rise with the distance."),
            Choice("Nothing: the two minus signs cancel", False, "Only ppo_loss has had its sign changed."),
            Choice(
                "It is paid for leaving: going down the loss drives the KL up",
                True,
                "loss = -(objective - beta * KL) = -objective + beta * KL.",
            ),
        ],
    ),
    Question(
        "Samples come from π. Which estimate may stand as it is in a LOSS, so that autograd gives the gradient of "
        "KL(π ‖ π_ref)?",
        [
            Choice("k1: it is unbiased", False, "Its value is; its gradient has the mean zero."),
            Choice("k2", True, "Its value is biased, but E[d ∇d] = E[d ∇ log π] is exactly the gradient."),
            Choice("k3: unbiased, and steady", False, "Its gradient is that of the other direction, KL(π_ref ‖ π)."),
        ],
    ),
    Question(
        "Someone copies target = 6 from a language-model run (Ziegler's controller) into PaperKL for the maze. Then?",
        [
            Choice("All is well: both are targets for a KL", False, "One KL is per step and to the old policy."),
            Choice("The KL of each update settles near 6", False, "It would have to come near 6 first."),
            Choice(
                "β is halved after nearly every update, until nothing is held back",
                True,
                "A single update stays far below 6 / 1.5 = 4, so the price vanishes.",
            ),
        ],
    ),
]
