"""Notebook 10: three exercises (from nb10_logps, nb10_mask and nb10_sample), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb10_logps import LOGPS
from .nb10_mask import MASK
from .nb10_sample import SAMPLE

TITLE = "A language model is a policy"
EXERCISES = [SAMPLE, LOGPS, MASK]

PREDICTIONS = {
    "10.q1": Prediction(
        answer="a piece of some text, not an answer",
        why="It was trained to go on with texts, and none of its texts was a question with an answer. What it knows "
        "about printers is in there; that somebody wants to hear it is not.",
    ),
    "10.q2": Prediction(
        answer="in column 8, over the last prompt token",
        why="The output in a column is the model's opinion about the NEXT column. The first reply token stands in "
        "column 9, so it was decided in column 8: P - 1.",
    ),
    "10.q3": Prediction(
        answer="far below 1 for most tokens",
        why="In its own column a token has been read already; the model there is busy with the one after it. For the "
        "token that was drawn it mostly has a very small probability left, and a tiny number over a large one is tiny.",
    ),
    "10.q4": Prediction(
        answer="the share of replies that end",
        why="Every text it was pretrained on ended in EOS: it had learned to end before anybody showed it an answer.",
    ),
}

QUIZ = [
    Question(
        "A reply of 20 tokens, the last one EOS, is padded to 40. How many actions did the policy take?",
        [
            Choice(
                "19: EOS only marks the end", False, "Ending is a choice; the model had other tokens to choose from."
            ),
            Choice("20", True, "Every token up to the first EOS, that one included."),
            Choice(
                "40: padding has a log-probability too", False, "Nobody chose the padding. It has no place in a loss."
            ),
        ],
    ),
    Question(
        "PAD and EOS have the same id. Which mask is still right?",
        [
            Choice("ids != pad_id", False, "The EOS that was chosen has the same id, and would be masked."),
            Choice("ids != eos_id", False, "The same thing said with the other name: the choice to end is lost."),
            Choice(
                "everything up to the first EOS of the reply",
                True,
                "It asks where the reply ends, not which ids it has.",
            ),
            Choice("none: two ids are needed", False, "A mask made from places needs no second id."),
        ],
    ),
    Question(
        "Sampled at temperature 0.7, scored with plain log_softmax(logits). Before any step, the ratios are",
        [
            Choice(
                "not 1: two different policies are compared",
                True,
                "softmax(logits / 0.7) drew the tokens, softmax(logits) scores them.",
            ),
            Choice("1: it is the same network", False, "The same weights, but the temperature belongs to the policy."),
            Choice("all 0.7", False, "Dividing logits by 0.7 changes every probability by another factor."),
        ],
    ),
    Question(
        "The prompt has P = 30 tokens. In which column stands the logits row that chose reply token t = 0?",
        [
            Choice("30, the token's own column", False, "There the model has read the token already."),
            Choice("31", False, "There it has read one token more than that."),
            Choice("29", True, "P - 1 + t. Columns are counted from 0, so this is the last one of the prompt."),
        ],
    ),
    Question(
        "A paper reports that after SFT 99 % of the replies end properly. What does this show?",
        [
            Choice("That the model has learned to answer", False, "A text that ends may be any text."),
            Choice(
                "Little, unless you know the share before", True, "Here the model ended its texts before SFT as well."
            ),
            Choice("That no reply is too long", False, "How long they are before they end is another question."),
        ],
    ),
]
