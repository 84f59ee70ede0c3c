"""Notebook 04: three predictions and the quiz. Its exercises are in nb04_gae.py, nb04_steps.py and nb04_ends.py."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question

PREDICTIONS = {
    "04.q1": Prediction(
        answer="0",
        why="A perfect critic leaves nothing for the later steps to correct: they only add noise. The variance at "
        "lambda = 1 is 13 times that at 0.",
    ),
    "04.q2": Prediction(
        answer="by about three quarters of its length",
        why="73 percent. With V = 0 and lambda = 0 every step is weighed with its own reward. That is another arrow, "
        "and the mean of many walks goes to that other arrow. More data does not help.",
    ),
    "04.q3": Prediction(
        answer="about 3.6",
        why="Every fifth step is told that nothing follows. Then V = 1 + 0.9 * (4/5) V, which is 1 / 0.28 = 3.57.",
    ),
}

QUIZ = [
    Question(
        "The critic says nonsense, all walks enter the goal, and you take λ = 1. How biased is the mean arrow?",
        [
            Choice("As much as the critic is wrong", False, "That would be near λ = 0, where V(s') is trusted."),
            Choice("By a factor γ", False, "γ belongs to the task. The exact arrow has the same γ."),
            Choice(
                "Not at all",
                True,
                "The V's cancel in pairs, and what is left is the return minus V(s_t): a baseline, however bad.",
            ),
        ],
    ),
    Question(
        "The critic is not perfect, and you can afford ten times as many walks for each update. Where does the best λ "
        "go?",
        [
            Choice(
                "Up",
                True,
                "Variance shrinks with the number of walks, bias does not. So spend the data on removing bias.",
            ),
            Choice("Down", False, "Lower λ buys less variance, and that is what you have just got from the data."),
            Choice("Nowhere: it depends on the critic alone", False, "It depends on both. In the panel, drag n."),
        ],
    ),
    Question(
        "λ goes from 1 to 0.9, with γ = 0.99 as before. Which policy is best now?",
        [
            Choice("A more short-sighted one", False, "That is what a smaller γ would do."),
            Choice(
                "The same as before",
                True,
                "λ is not part of the task. It changes how the advantages of that task are estimated.",
            ),
            Choice("It depends on the critic", False, "The estimate does. What is being estimated does not."),
        ],
    ),
    Question(
        "A robot is stopped by the step limit on square 6 and put back to square 0. What belongs into that step?",
        [
            Choice("V(0), and the trace goes on", False, "Square 0 belongs to the next episode."),
            Choice("0, and the trace is cut", False, "That is right at the goal. Here the future was worth something."),
            Choice("V(6), and the trace goes on", False, "The TD error is right, but then the next episode leaks in."),
            Choice("V(6), and the trace is cut", True, "The record ends here, the robot's future does not."),
        ],
    ),
    Question(
        "The critic's targets are made from whitened advantages. What happens?",
        [
            Choice("Nothing: whitening is a matter of scale", False, "It also takes the mean away, and that counts."),
            Choice(
                "The critic never finds its level",
                True,
                "The mean of the targets equals the mean of the present values, so that mean stays where it began.",
            ),
            Choice("The actor's arrow turns", False, "The actor's weights are right. It is the critic that suffers."),
        ],
    ),
]
