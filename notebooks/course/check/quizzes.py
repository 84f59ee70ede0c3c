"""`quiz("maze")`: five questions at the end of a notebook, every choice explained. First and best score are kept.

Without a live front end (GitHub, a notebook that was not run yet) each choice is a fold with its explanation inside.
"""

from __future__ import annotations

import ipywidgets as W

from . import index, message, records
from .prediction import STYLE, announce, letter, push, radio
from .spec import Choice, Question


def quiz(notebook: str) -> None:
    """Show the quiz of a notebook: `quiz("maze")`. ValueError if there is no such notebook."""
    asked = index.notebook(notebook).quiz
    message.emit(quiz_page(notebook, asked), quiz_text(notebook, asked), quiz_widget(notebook, asked))


def quiz_text(notebook: str, questions: list[Question]) -> str:
    """The quiz as plain text, without the answers."""
    lines = [f"Quiz {notebook}"]
    for n, question in enumerate(questions, 1):
        lines += [f"{n}. {question.text}", *(f"   {letter(i)}. {c.text}" for i, c in enumerate(question.choices))]
    return "\n".join(lines)


def quiz_page(notebook: str, questions: list[Question]) -> str:
    """The quiz as HTML: opening a choice shows whether it is right, and why."""
    parts = [f"<b>Quiz {notebook}.</b> Choose an answer, then open it."]
    for n, question in enumerate(questions, 1):
        parts.append(f"<p style='margin:8px 0 2px'><b>{n}. {message.markup(question.text)}</b></p>")
        for i, choice in enumerate(question.choices):
            colour, words = _verdict(choice)
            parts.append(message.fold(f"{letter(i)}. {choice.text}", message.box(colour, message.markup(words))))
    return message.box(message.BLUE, *parts)


def _verdict(choice: Choice) -> tuple[str, str]:
    if choice.correct:
        return message.GREEN, f"{message.RIGHT} Right. {choice.why}"
    return message.RED, f"{message.WRONG} Not this one. {choice.why}"


def quiz_widget(notebook: str, questions: list[Question]) -> W.VBox:
    """The live form; its parts are `.radios`, `.feedback`, `.button` and `.status`."""
    radios = [radio([c.text for c in q.choices]) for q in questions]
    feedback, status = [W.HTML() for _ in questions], W.HTML()
    button = push("Check my answers")

    def mark(_button):
        right = 0
        for question, buttons, note in zip(questions, radios, feedback):
            choice = next((c for c in question.choices if c.text == buttons.value), None)
            note.value = "" if choice is None else announce(_verdict(choice)[1], _verdict(choice)[0])
            right += choice is not None and choice.correct
        missing = sum(buttons.value is None for buttons in radios)
        if missing:
            status.value = announce(f"{missing} of {len(questions)} not answered. The score is recorded when all are.")
            return
        records.update("quizzes", notebook, lambda old: _score(old, right, len(questions)))
        status.value = announce(f"{right} of {len(questions)} right. Change an answer and check again.", message.BLUE)

    button.on_click(mark)
    form = [W.HTML(f"{STYLE}<b>Quiz {notebook}</b>")]
    for n, (question, buttons, note) in enumerate(zip(questions, radios, feedback), 1):
        form += [W.HTML(f"<b>{n}. {message.markup(question.text)}</b>"), buttons, note]
    widget = W.VBox([*form, button, status]).add_class("ppo-live")
    widget.radios, widget.feedback, widget.button, widget.status = radios, feedback, button, status
    return widget


def _score(old: dict, right: int, of: int) -> dict:
    best, first = old.get("best"), old.get("first")
    first, best = first if isinstance(first, int) else right, max(right, best) if isinstance(best, int) else right
    return {"first": first, "best": best, "of": of}
