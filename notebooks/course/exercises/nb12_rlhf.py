"""Notebook 12: four exercises (from nb12_memory, nb12_rewards, nb12_beta and nb12_tutorial), predictions, quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb12_beta import BETA
from .nb12_memory import MEMORY
from .nb12_rewards import REWARDS
from .nb12_tutorial import TUTORIAL

TITLE = "RLHF on your laptop"
EXERCISES = [MEMORY, REWARDS, BETA, TUTORIAL]

PREDICTIONS = {
    "12.q1": Prediction(
        answer="10 times",
        why="Actor and critic hold weights, gradients and two moments each: 4 + 4. Reference and reward model hold "
        "their weights: 1 + 1. Together ten times the weights of one.",
    ),
    "12.q2": Prediction(
        answer="chance",
        why="The log shows an estimate, a mean over the replies of one batch. A KL is never below 0, but the samples "
        "of k1 have both signs; near 0 their mean may have either. Early in training actor and reference are almost "
        "equal.",
    ),
    "12.q3": Prediction(
        answer="only the one from the reference",
        why="The old policy is the actor of a moment ago: every iteration begins with distance 0 from it. The "
        "reference stays where training began, and many small steps add up.",
    ),
    "12.q4": Prediction(
        answer="it climbs, then falls",
        why="At first what the judge likes is also good. When that is used up, the score can still grow where the "
        "judge is wrong, and nothing holds the policy back from going there.",
    ),
    "12.q5": Prediction(
        answer="raise beta",
        why="Of the four only beta stands in the goal. With beta 0 the best policy is whatever fools the judge most. "
        "The other three change how fast one gets there, not where it is.",
    ),
    "12.q6": Prediction(
        answer="it climbs all the same",
        why="Every iteration begins with ratio 1, which no range clips, so the first mini-batch always has its whole "
        "gradient, and Adam makes a usual step of it. The clip holds later steps only: see the clip fraction.",
    ),
    "12.q7": Prediction(
        answer="the KL grows most",
        why="Without a clip the later epochs push on. That buys distance from the reference and no score, which even "
        "ends lower: the score was not what the clip held back.",
    ),
    "12.q8": Prediction(
        answer="0",
        why="The ratio is π / π_old, and before the first step both are the same function. Raising a logit raises both "
        "alike, so their ratio stays 1: the two gradients cancel. A ratio teaches only if the old one is data.",
    ),
}

QUIZ = [
    Question(
        "Somebody takes k1, log π - log π_ref, out of the reward and adds β times its mean to the loss instead. On "
        "fresh samples this holds the policy near",
        [
            Choice("the reference, as before", False, "As a reward k1 weighs log π. As a loss it is log π, unweighed."),
            Choice(
                "nothing", True, "Its gradient is that of log π at samples of π: on average 0. In the loss it takes k2."
            ),
            Choice("the old policy", False, "That is the clip's work; k1 here does not know the old policy."),
        ],
    ),
    Question(
        "One library logs a KL to the reference of 0.15, another one 3.0. Replies have about 20 tokens. Which policy "
        "has left further?",
        [
            Choice("The second: 3.0 is twenty times more", False, "First ask what each number is a mean of."),
            Choice("The first", False, "A mean over tokens is smaller than a sum over them, that is all."),
            Choice("It cannot be said, since KL has no unit", False, "It has one, the nat; only the count differs."),
            Choice(
                "Perhaps neither",
                True,
                "0.15 a token, times 20 tokens, is 3.0 a reply. A KL needs its unit: nats a token, or nats a reply.",
            ),
        ],
    ),
    Question(
        "Two runs reach the same score on new questions, one at 3 nats from the reference, the other at 12. You have "
        "no gold. Which do you try first?",
        [
            Choice(
                "The one at 3 nats",
                True,
                "Same score for less distance. The judge learned from replies of the reference; at 12 nats it is "
                "further from what it knows.",
            ),
            Choice(
                "The one at 12 nats: it has learned four times as much from the same judge",
                False,
                "Distance is not learning. What it bought with 9 more nats does not show in the score.",
            ),
            Choice("Either: the score decides", False, "The score is what can be fooled, and far out more easily."),
        ],
    ),
    Question(
        "You train with beta 0. Gold would be falling, but in life you have none. What can warn you?",
        [
            Choice("The score, which stops growing", False, "It goes on growing: that is the trouble."),
            Choice("The policy loss, which rises", False, "It hovers about 0 in good runs and in bad ones."),
            Choice(
                "The KL to the reference, and reading replies",
                True,
                "A KL that only grows says how far the judge's knowledge is left behind; the replies show it to you.",
            ),
            Choice(
                "The explained variance of the critic, which falls when replies get worse",
                False,
                "Replies that all fool the judge in one way are easy to foresee.",
            ),
        ],
    ),
    Question(
        "Best-of-8 comes near the gold of PPO, at a smaller distance and without training. What does PPO save?",
        [
            Choice("The reward model", False, "PPO needs it too, for every reply of its training."),
            Choice(
                "Seven replies and a judge, at every question",
                True,
                "What best-of-8 pays whenever somebody asks, PPO has paid once.",
            ),
            Choice(
                "Being fooled, since it follows gradients and does not choose",
                False,
                "Both follow the same score, and both can be led where it is wrong.",
            ),
        ],
    ),
]
