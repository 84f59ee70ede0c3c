"""The ward rounds of the clinic. For each patient four diseases to choose from, and what each would look like."""

from __future__ import annotations

from ..check import message
from ..check.quizzes import quiz_page, quiz_text, quiz_widget
from ..check.spec import Choice, Question
from ..clinic.numbered import NUMBERS, patient

SIGNS = {  # what the monitor and the known numbers show of each disease
    "done-ignored": "It throws targets off where episodes end, by whatever surprise the next episode begins with, and "
    "the critic explains next to nothing to the last.",
    "truncation-as-termination": "It throws targets off by γ V(s'), and only where time ran out: once all arrive "
    "in time, the error is gone.",
    "not-detached": "The objective pulls at the critic, so the very first gradient is off. The data are in order. "
    "Nor are these advantages whitened, so `policy_loss` may fall below -ε.",
    "old-logp-recomputed": "The ratio is 1 in every epoch, so the policy loss ends where it began: `policy_gain` is "
    "0. Nothing is clipped, and entropy falls fast.",
    "whitening-axis": "The advantages as a whole then have a spread of 0.97 instead of 1. All else looks in order.",
    "target-recomputed": "The target moves with the critic, whose loss then never falls in an update: `value_gain` "
    "is 0. For long the critic is worse than none.",
    "entropy-sign": "It pays for certainty: entropy falls below the healthy run, the return does not mind, nor does "
    "the critic. The first gradient is off.",
    "ratio-of-logs": "A quotient of logarithms falls when an action becomes likelier: the robot learns the opposite, "
    "and the return falls to the bottom.",
    "reward-shifted": "On last steps another step's reward stands in the target: the error is a difference of two "
    "rewards, at most 2, and stays to the end.",
    "gradient-not-zeroed": "Steps add up: a huge KL at first, then no entropy and no KL at all, and a critic that is "
    "thrown about.",
    "min-before-multiplying": "For A < 0 the wrong side is clipped, and the objective passes the ceiling of a clip: "
    "`policy_loss` falls below -ε. Entropy falls fast.",
    "autoreset-trained-on": "Steps that nobody took are in the data: they begin in the goal, so `stale_starts` is "
    "above 0.",
}
ROUNDS = (
    {
        4: ("entropy-sign", "whitening-axis", "ratio-of-logs", "autoreset-trained-on"),
        1: ("gradient-not-zeroed", "truncation-as-termination", "whitening-axis", "reward-shifted"),
        3: ("target-recomputed", "reward-shifted", "truncation-as-termination", "entropy-sign"),
        8: ("whitening-axis", "done-ignored", "entropy-sign", "min-before-multiplying"),
    },
    {
        2: ("reward-shifted", "done-ignored", "truncation-as-termination", "autoreset-trained-on"),
        10: ("reward-shifted", "truncation-as-termination", "target-recomputed", "done-ignored"),
        5: ("done-ignored", "autoreset-trained-on", "reward-shifted", "whitening-axis"),
        7: ("not-detached", "reward-shifted", "old-logp-recomputed", "whitening-axis"),
        11: ("old-logp-recomputed", "target-recomputed", "not-detached", "gradient-not-zeroed"),
        6: ("min-before-multiplying", "entropy-sign", "old-logp-recomputed", "target-recomputed"),
        12: ("entropy-sign", "not-detached", "min-before-multiplying", "ratio-of-logs"),
        9: ("old-logp-recomputed", "not-detached", "entropy-sign", "min-before-multiplying"),
    },
)


def _question(number: int, names: tuple[str, ...]) -> Question:
    def choice(name):
        words = patient(NUMBERS.index(name) + 1).disease
        return Choice(words[0].upper() + words[1:], NUMBERS[number - 1] == name, SIGNS[name])

    return Question(f"What ails patient {number}?", [choice(name) for name in names])


def ward_round(n: int) -> None:
    """Show the questions of round 1 or 2. Choose a disease for each patient; every choice is answered."""
    name, title = f"09.round{n}", f"Ward round {n}"
    asked = [_question(number, names) for number, names in ROUNDS[n - 1].items()]
    widget = quiz_widget(name, asked)
    widget.children[0].value = widget.children[0].value.replace(f"Quiz {name}", title)
    page, text = (make(name, asked).replace(f"Quiz {name}", title) for make in (quiz_page, quiz_text))
    message.emit(page, text, widget)
