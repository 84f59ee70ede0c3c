"""Notebook 03: three predictions and the quiz. Its exercises are in nb03_baselines.py and nb03_critic.py."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question

PREDICTIONS = {
    "03.q1": Prediction(
        answer="It stays where it is",
        why="The scores of a square average to zero, so 100 times the score averages to zero too. Only the spread "
        "grows: "
        "144 times the variance here.",
    ),
    "03.q2": Prediction(
        answer="It never enters the goal",
        why="Each further step now pays, and the goal ends the payments. From c = 0.134 on, staying outside is the "
        "best "
        "policy: sum of rewards and length of the walk are tied together.",
    ),
    "03.q3": Prediction(
        answer="V of the square it moved to",
        why="That one knows which action was taken. It takes the difference between the actions away, and that "
        "difference is what the arrow is made of. The other three do not know the action.",
    ),
}

QUIZ = [
    Question(
        "Why may any function of the square be subtracted from the return?",
        [
            Choice(
                "Because the score, averaged over the actions of a square, is zero",
                True,
                "Probabilities sum to 1, so their gradients sum to 0. A factor that is the same for all actions "
                "changes nothing.",
            ),
            Choice(
                "Because it is small compared with the return",
                False,
                "-100 everywhere was not small, and the mean arrow stayed too.",
            ),
            Choice(
                "Because V(s) is the mean return from that square",
                False,
                "That makes V a good baseline. It is allowed for another reason: it does not know the action.",
            ),
        ],
    ),
    Question(
        "All returns of a game lie between 1000 and 1100. What is wrong with weighing the scores with them?",
        [
            Choice(
                "All actions that were tried become more likely, on average",
                False,
                "Probabilities sum to 1: not all can rise. On average the arrow is the exact gradient.",
            ),
            Choice(
                "The mean arrow is biased towards frequent actions",
                False,
                "No bias: a frequent action is pushed more often, and each push is smaller by the same factor.",
            ),
            Choice(
                "Nothing on average; a single arrow is mostly noise",
                True,
                "The 1000 adds only spread. Subtract about the mean return and most of it is gone.",
            ),
        ],
    ),
    Question(
        "A walk is stopped by the step limit on square s'. What is the TD target of its last step?",
        [
            Choice(
                "r",
                False,
                "That would be right at the goal. The walk was stopped from outside; its future still has a value.",
            ),
            Choice("r + γ V(s')", True, "Truncation ends the record, not the robot's future."),
            Choice(
                "r + γ V(start), because the robot is put back to the start",
                False,
                "The next record starts there, and nothing that this action did leads there.",
            ),
        ],
    ),
    Question(
        "A(s, left) = -0.4 under the present policy. What does that say?",
        [
            Choice(
                "Going left and then following the policy earns 0.4 less than following the policy",
                True,
                "A = Q - V, from this square on.",
            ),
            Choice("Left earns -0.4", False, "That would be a reward, or Q. A compares with the policy's own average."),
            Choice(
                "Left is 0.4 worse than the best action",
                False,
                "The yardstick is the policy's average over its actions, not the best one.",
            ),
        ],
    ),
    Question(
        "In the middle of training, the explained variance falls below zero. What do you conclude?",
        [
            Choice(
                "The code is broken: a variance cannot be negative",
                False,
                "It is 1 minus a ratio of variances. The ratio may exceed 1.",
            ),
            Choice(
                "Just now the critic misses its targets by amounts that vary more than the targets do",
                True,
                "Here the policy improves faster than the critic follows, and a good policy's returns hardly vary.",
            ),
            Choice(
                "The policy is getting worse", False, "It says nothing about the policy. Here it happened while J rose."
            ),
        ],
    ),
]
