"""Notebook 01: four predictions and the quiz. Their exercises are in nb01_maze.py."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question

PREDICTIONS = {
    "01.q1": Prediction(
        answer="0.8",
        why="The shortest way from square 6 has three moves. Two of them cost 0.1 each; the third enters the goal and "
        "pays 1 instead: 2 · (-0.1) + 1 = 0.8. Whoever says 0.7 has charged the last move too.",
    ),
    "01.q2": Prediction(
        answer="about -8",
        why="Exactly -8.2. One first move in four enters the goal. Another one in four bumps, and the other two lead "
        "away, to squares from which the random robot collects less than -11 on average.",
    ),
    "01.q3": Prediction(
        answer="100,000",
        why="The error of a mean falls with the square root of the number of robots. Ten times smaller costs a hundred "
        "times more.",
    ),
    "01.q4": Prediction(
        answer="up to 10 bumps",
        why="Circling for ever is worth -0.1 / (1 - 0.99) = -10. Ten bumps and then the shortest way are worth -9.14, "
        "eleven are worth -10.05. Each step of the careful robot costs little, and it never stops paying.",
    ),
}

QUIZ = [
    Question(
        "What is V(s), the value of square s?",
        [
            Choice(
                "The reward for stepping on s",
                False,
                "That is one reward. V adds up everything from s until the end, discounted.",
            ),
            Choice(
                "The return to expect from s on, if the robot follows its policy",
                True,
                "An average over all walks from s. Another policy has another V.",
            ),
            Choice(
                "The best return that a robot with any policy could get from s on",
                False,
                "That is the V of the best policy only. Every policy has its own V.",
            ),
        ],
    ),
    Question(
        "A walk pays -0.1, -0.1, 1. With γ = 0.5, what is its return G_0?",
        [
            Choice("0.8", False, "That is the sum without γ."),
            Choice("0.4", False, "The reward of step 0 is missing: 0.4 is G_1."),
            Choice("0.1", True, "-0.1 + 0.5 · (-0.1) + 0.25 · 1 = 0.1."),
            Choice("0.05", False, "One γ too many: the reward at step 0 has weight 1."),
        ],
    ),
    Question(
        "In square s the advantage A(s, a) is 0 for all four actions. What does that say?",
        [
            Choice(
                "The first move from s does not matter, if the policy is followed afterwards",
                True,
                "Q(s, a) = V(s) for all of them, so changing the policy in s alone gains nothing.",
            ),
            Choice(
                "The square is worth nothing",
                False,
                "Its value V(s) may be anything. A compares the actions with each other, not the square with others.",
            ),
            Choice(
                "The policy is already the best one, in s and on every other square of the maze",
                False,
                "In s nothing is to be gained. In other squares there may be.",
            ),
        ],
    ),
    Question(
        "Every robot is stopped after 100 steps, and you average what it collected. The random robot gets -11.7, "
        "while J is -12.3. Why?",
        [
            Choice("Too few robots", False, "More robots shrink the error bar around -11.7. They do not move it."),
            Choice(
                "A robot that is stopped pays nothing afterwards, so the limit makes another task",
                True,
                "The costs after step 100 are missing. Mazes with and without a limit have different values.",
            ),
            Choice("The discount is wrong", False, "Both numbers use γ = 0.99."),
        ],
    ),
    Question(
        "Why does `solve` refuse a policy that circles for ever, when γ = 1?",
        [
            Choice(
                "Its return is the sum of -0.1 without end, which is no finite number",
                True,
                "With γ below 1 the same sum is -0.1 / (1 - γ).",
            ),
            Choice("The matrix is too large", False, "It has 16 rows, as always."),
            Choice("Circling is forbidden", False, "It is a policy like any other. With γ = 0.99 its J is -10."),
        ],
    ),
]
