"""`predict` asks before the notebook shows the answer, `reveal` compares.

The question and its choices stand in the notebook, the answer and the reason in its text, so that reading the notebook
does not give it away. Run All spends no prediction: without one `reveal` only offers the answer (a button, or
a fold where no front end is live), and opens by itself when the question is answered. Left out: any way to be blocked.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import ipywidgets as W

from ..widget_state import PAGE
from . import message, records
from .index import find_prediction

STYLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["style"] + PAGE["as_left"]
_waiting: dict[str, W.VBox] = {}  # {id: the form of the unanswered `reveal` that this kernel showed last}


def letter(i: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + i)


def radio(choices: list[str], value: str | None = None) -> W.RadioButtons:
    """Lettered radio buttons whose labels may be long; `value` is one of the choices or None."""
    buttons = W.RadioButtons(
        options=[(f"{letter(i)}. {text}", text) for i, text in enumerate(choices)],
        value=value if value in choices else None,
        layout=W.Layout(width="auto", max_width="60em", height="auto"),
    )
    buttons.add_class("ppo-choices")
    return buttons


def push(words: str) -> W.Button:
    """A button as wide as its words."""
    return W.Button(description=words, layout=W.Layout(width="auto", align_self="flex-start"))


def announce(text: str, colour: str = message.GREY) -> str:
    """A box that a screen reader reads out when it changes."""
    return f'<div role="status" aria-live="polite">{message.box(colour, message.markup(text))}</div>'


def predict(id: str, choices: list[str], question: str = "") -> None:
    """Ask for a prediction and record it: `predict("robots", ["up", "down"], "Where does the robot go?")`.

    It may be changed until the answer is shown. If its `reveal` has run already, recording it opens the answer.
    The answer of `predictions.robots` in text/en/notebooks/maze.toml must be one of the choices, word for word.
    Raises ValueError for an unknown id, for choices that repeat themselves, and for choices without the answer.
    """
    key, choices = find_prediction(id), list(choices)
    if key.answer not in choices or len(set(choices)) < max(2, len(choices)):
        need = f"choices of prediction {id!r} must be different and contain the answer {key.answer!r}"
        raise ValueError(f"{need}; got {choices}")
    letters = [f"{letter(i)}. {text}" for i, text in enumerate(choices)]
    heading = f"<div><b>Predict.</b> {message.markup(question)}</div>"
    page = message.box(message.BLUE, heading, *(f"<div>{message.markup(line)}</div>" for line in letters))
    lines = [f"Predict {id}: {question}".rstrip(": "), *(f"  {line}" for line in letters)]
    message.emit(page, "\n".join(lines), prediction_widget(id, choices, heading))


def prediction_widget(id: str, choices: list[str], heading: str = "") -> W.VBox:
    """The live form; its parts are `.radio`, `.button` and `.status`."""
    old = records.read()["predictions"].get(id, {}).get("choice")
    buttons, status = radio(choices, old), W.HTML()
    button = push("Record my answer")
    if old in choices:
        status.value = announce(f"Recorded: {old}")

    def record(_button):
        if buttons.value is None:
            status.value = announce("Choose an answer first.")
            return
        shown = None

        def change(entry: dict) -> dict:
            nonlocal shown
            shown = entry if _shown(entry) else None
            return shown or {"choice": buttons.value}

        records.update("predictions", id, change)
        if shown:
            if shown.get("choice") != buttons.value:  # else a second click: it counted, and its answer stays open
                status.value = announce(f'Not counted: the answer was shown before. `reset("{id}")` starts it over.')
            return
        status.value = announce(f"Recorded: {buttons.value}", message.BLUE)
        if id in _waiting:
            status.value += _waiting[id].open()

    button.on_click(record)
    widget = W.VBox([W.HTML(STYLE + message.box(message.BLUE, heading)), buttons, button, status]).add_class("ppo-live")
    widget.radio, widget.button, widget.status = buttons, button, status
    return widget


def _shown(entry: dict) -> bool:
    """Was the answer shown before? Records of old say "revealed", also of what only a Run All had passed over."""
    return entry.get("shown") is True or ("choice" in entry and entry.get("revealed") is True)


def reveal(id: str) -> None:
    """What you predicted, what is true, and why; a prediction recorded after this does not count.

    Without a prediction the answer stays closed: it opens when you record one, or with the button "Show the answer".
    ValueError for an unknown id.
    """
    find_prediction(id)  # raises for an unknown id
    _waiting.pop(id, None)
    yours = records.read()["predictions"].get(id, {}).get("choice")
    if yours is not None:
        return message.emit(_show_answer(id), _answer(id, yours)[1])
    page, text = _answer(id, None)
    closed = message.box(message.GREY, message.fold("Show the answer", page))
    _waiting[id] = reveal_widget(id)
    message.emit(closed, text, _waiting[id])


def reveal_widget(id: str) -> W.VBox:
    """The live form of a `reveal` without a prediction; its parts are `.answer`, `.button` and `.open()`."""
    answer, button = W.HTML(announce("Answer the question above, and the answer opens here.")), push("Show the answer")

    def open_it(_button=None) -> str:
        page = _show_answer(id)
        _waiting.pop(id, None)
        answer.value, button.layout.display = f'<div role="status" aria-live="polite">{page}</div>', "none"
        return page

    button.on_click(open_it)
    widget = W.VBox([answer, button]).add_class("ppo-live")
    widget.answer, widget.button, widget.open = answer, button, open_it
    return widget


def _show_answer(id: str) -> str:
    """Note that the answer is shown from now on, and return it as HTML."""
    yours = None

    def change(entry: dict) -> dict:
        nonlocal yours
        yours = entry.get("choice")
        return {**entry, "shown": True}

    records.update("predictions", id, change)
    return _answer(id, yours)[0]


def _answer(id: str, yours: str | None) -> tuple[str, str]:
    """What was predicted, what is true, and why: HTML and plain text."""
    key = find_prediction(id)
    if yours is None:
        head, colour = f'No prediction recorded. `reset("{id}")` starts this question over.', message.GREY
    elif yours == key.answer:
        head, colour = f"{message.RIGHT} You predicted: {yours}. Right.", message.GREEN
    else:
        head, colour = f"{message.WRONG} You predicted: {yours}. It came out differently.", message.RED
    answer = f"Answer: {key.answer}"
    parts = [message.markup(head), f"<b>{message.markup(answer)}</b>", message.markup(key.why)]
    return message.box(colour, *(f"<div>{part}</div>" for part in parts)), f"{head}\n  {answer}\n  {key.why}"
