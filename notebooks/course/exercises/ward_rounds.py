"""The ward rounds of the clinic. For each patient four diseases to choose from, and what each would look like."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ..check import message, texts
from ..check.quizzes import quiz_page, quiz_text, quiz_widget
from ..check.spec import Choice, Question
from ..clinic.numbered import NUMBERS, patient

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ROUNDS = tuple({number: tuple(names) for number, *names in asked} for asked in _TABLE.values())
SIGNS = texts.read("ward_rounds")["signs"]


def _question(number: int, names: tuple[str, ...]) -> Question:
    def choice(name):
        words = patient(NUMBERS.index(name) + 1).disease
        return Choice(words[0].upper() + words[1:], NUMBERS[number - 1] == name, SIGNS[name])

    return Question(f"What ails patient {number}?", [choice(name) for name in names])


def ward_round(n: int) -> None:
    """Show the questions of round 1 or 2. Choose a disease for each patient; every choice is answered."""
    name, title = f"round{n}", f"Ward round {n}"
    asked = [_question(number, names) for number, names in ROUNDS[n - 1].items()]
    widget = quiz_widget(name, asked)
    widget.children[0].value = widget.children[0].value.replace(f"Quiz {name}", title)
    page, text = (make(name, asked).replace(f"Quiz {name}", title) for make in (quiz_page, quiz_text))
    message.emit(page, text, widget)
