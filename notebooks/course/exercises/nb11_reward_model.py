"""Notebook 11: five exercises (from nb11_pairs, nb11_last_token, nb11_fool and nb11_best_of_n), predictions, quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb11_best_of_n import BEST
from .nb11_fool import FOOL
from .nb11_last_token import LAST
from .nb11_pairs import LOSS, PAIRS

TITLE = "A reward model, and how to fool it"
EXERCISES = [PAIRS, LOSS, LAST, FOOL, BEST]

PREDICTIONS = {
    "11.q1": Prediction(
        answer="36",
        why="Each of the nine meets eight others, and every meeting is counted twice: 9 · 8 / 2 = 36. One ranking of "
        "nine replies says as much as 36 choices between two.",
    ),
    "11.q2": Prediction(
        answer="0.8",
        why="A greeting 0.6, a closing 0.5, the fern is named 0.7, and a tip for another problem costs 1.0. Sum: 0.8.",
    ),
    "11.q3": Prediction(
        answer="about 85 %",
        why="The labels themselves agree with gold on about 85 pairs of a hundred. Who knew gold exactly could not do "
        "better: the rest is noise, and noise on new pairs cannot be learned.",
    ),
    "11.q4": Prediction(
        answer="less than half as much",
        why="The score itself gains less and less: the best of eight is hard to beat. And among replies that all score "
        "high, much of what is left of the difference is the model's own error, which buys no gold.",
    ),
}

QUIZ = [
    Question(
        "All scores of a reward model grow by 100. What changes in its Bradley-Terry loss?",
        [
            Choice("It falls: every reply looks better now", False, "Chosen and rejected replies both gained 100."),
            Choice("It explodes: σ(100) is 1", False, "σ sees the difference of two scores, and that has not changed."),
            Choice(
                "Nothing",
                True,
                "Only differences enter. So the zero of a score means nothing until it is set by normalising.",
            ),
        ],
    ),
    Question(
        "A batch of replies is padded on the left. A library reads each score at place (number of real tokens) - 1. "
        "What does it read?",
        [
            Choice("The EOS of every reply, as it should", False, "That is so only with padding on the right."),
            Choice(
                "A token before the end",
                True,
                "The last real token is the last column here. The place counted from the left falls short by the "
                "padding, and the score depends on who else is in the batch.",
            ),
            Choice("A padding token", False, "It would have to land left of the text: only in very short replies."),
        ],
    ),
    Question(
        "On new questions a reward model orders 75 % of people's pairs as they did. People agree with gold on 90 %. "
        "How far is it from the best possible?",
        [
            Choice(
                "15 points: about 90 % is the best on such labels",
                True,
                "The ceiling is the labels' own agreement. Measured against gold itself the ceiling would be 100 %.",
            ),
            Choice(
                "25 points: from 75 % to 100 %, like everything that is counted",
                False,
                "A tenth of the labels contradict gold by chance; no model can foresee which.",
            ),
            Choice(
                "It cannot be said without knowing the loss",
                False,
                "The loss says how sure it is. The share of right orders has its own ceiling, the labels' agreement.",
            ),
        ],
    ),
    Question(
        "A reward model scores a reply higher than any it was trained on. What is the safest thing to say?",
        [
            Choice("The reply is better than all of these", False, "By gold, the best fooling replies are the worst."),
            Choice("The reply is bad", False, "It may be excellent: good replies score high too."),
            Choice(
                "It lies where the score was never checked",
                True,
                "Out there the score is a guess. Only another judge can say what it is worth.",
            ),
        ],
    ),
    Question(
        "Best-of-64 costs 64 replies a question and has KL log 64 - 63/64 = 3.2 nats at most. Why compare PPO with it?",
        [
            Choice(
                "It follows the same score, by a known distance, untrained",
                True,
                "If PPO at the same KL has less gold, its trouble is not the reward model alone.",
            ),
            Choice(
                "It finds the best of the 64 replies by gold, the true worth",
                False,
                "It chooses by the score. The choice by gold is drawn as a ceiling, and nobody has it in life.",
            ),
            Choice(
                "It cannot be fooled, since it never trains", False, "Choosing hard is enough to be fooled a little."
            ),
        ],
    ),
]
