"""`@exercise` and `check`, the two names in every exercise cell, and the hints that open one after the other.

The decorated name is an `Answer`. Calls go to your function once it is right, and to the reference until then, so the
cells below always run. Left out: anything that could stop a notebook. `check` never raises and returns None.
"""

from __future__ import annotations

import contextlib
import functools
import html
import inspect
from collections.abc import Callable

from IPython import get_ipython

from . import message, records
from .earned import earned
from .grading import Grade, ahead, grade
from .index import find
from .sandbox import TimeUp, describe_error, isolated, limited
from .stub import fingerprint


class Answer:
    """Your function, or the reference as long as yours is missing or wrong. Made by `@exercise`."""

    def __init__(self, id: str, yours: Callable):
        self.id, self.yours = id, yours
        self._grade, self._use = None, None
        functools.update_wrapper(self, yours)

    def grade(self) -> Grade:
        """The grade, found once: at `check`, or silently at the first call."""
        if self._grade is None:
            self._use = self.yours  # meanwhile: a function that calls itself must reach itself, not the reference
            try:
                self._grade = ahead(self.id, self.yours) or grade(self.id, self.yours)
            finally:
                spec = find(self.id)
                right = self._grade is not None and self._grade.status == "ok"
                self._use = self.yours if right else spec.solution
        return self._grade

    def __call__(self, *args, **kwargs):
        if self._use is None:
            with contextlib.suppress(Exception):  # of ours; `check` names it
                self.grade()
        return self._use(*args, **kwargs)

    def __repr__(self):
        words = {"todo": "not attempted, the reference answers", "wrong": "not right yet, the reference answers"}
        return f"<exercise {self.id}: {words.get(self.grade().status, 'right')}>"


def exercise(id: str) -> Callable[[Callable], Answer]:
    """Decorator of an exercise cell: `@exercise("score_function")`. ValueError with the nearest id if unknown."""
    find(id)

    def decorate(fn: Callable) -> Answer:
        if not callable(fn):
            raise TypeError(f'@exercise("{id}") stands above a function; got {type(fn).__name__}')
        return Answer(id, fn.yours if isinstance(fn, Answer) else fn)

    return decorate


def check(answer: Answer) -> None:
    """Say whether an exercise is right, wrong or not attempted. Never raises, returns None."""
    if not isinstance(answer, Answer):
        text = 'check(...) needs the decorated function: put `@exercise("its id")` above `def` and run the cell again.'
        return message.line(text)
    try:
        result = answer.grade()
        hints = _record(answer, result) if result.status != "todo" else 0
        _show(answer, result, hints)
    except Exception as problem:  # a bug of ours must not stop the learner's notebook
        text = f"{answer.id}: the check itself failed ({describe_error(problem, None)[0]})."
        message.line(f"{text} The reference is used below.")


def _record(answer: Answer, result: Grade) -> int:
    """Store the result; how many hints are open now. The same wrong answer run again is not a new attempt."""
    opened = 0

    def change(old: dict) -> dict:
        nonlocal opened
        entry = _entry(old)
        if result.status == "wrong" and (mark := fingerprint(answer.yours)) not in entry["tries"]:
            entry["tries"].append(mark)
        entry["solved"] |= result.status == "ok"
        opened = max(len(entry["tries"]), entry["asked"])
        return entry

    records.update("exercises", answer.id, change)
    return opened


def _entry(old: dict) -> dict:
    """The stored record of one exercise, whatever somebody has written into the file."""
    tries, asked = old.get("tries"), old.get("asked")
    return {
        "tries": [t for t in tries if isinstance(t, str)] if isinstance(tries, list) else [],
        "asked": asked if isinstance(asked, int) else 0,
        "solved": old.get("solved") is True,
    }


def _show(answer: Answer, result: Grade, opened: int) -> None:
    spec = find(answer.id)
    if result.status == "todo":
        return message.line(f"{message.OPEN} {result.message}")
    if result.status == "ok":
        head, _, rest = result.message.partition(". ")
        page = message.box(message.GREEN, f"<b>{message.RIGHT} {head}.</b> {rest}")
        message.emit(page, f"{message.RIGHT} {result.message}")
        return _picture(spec, answer.yours, right=True)
    message.emit(_wrong_page(spec, result, opened), _wrong_text(spec, result, opened))
    if spec.picture and not result.stopped:
        _picture(spec, answer.yours)


def _wrong_text(spec, result: Grade, opened: int) -> str:
    lines = [f"{message.WRONG} {result.message}", "  Until it is right, the reference is used below."]
    lines += [f"  Hint {i + 1} of {len(spec.hints)}: {h}" for i, h in enumerate(spec.hints[:opened])]
    return "\n".join([*lines, "  " + _next(spec, opened)])


def _wrong_page(spec, result: Grade, opened: int) -> str:
    head = f"<b>{message.WRONG} {spec.id}: not right yet.</b> {message.markup(result.problem)}"
    cell = 'style="text-align:left;padding:1px 12px 1px 0;vertical-align:top;background:none"'
    rows = [f"<th {cell}>{n}</th><td {cell}><code>{html.escape(t)}</code></td>" for n, t in result.rows]
    table = "".join(f"<tr style='background:none'>{row}</tr>" for row in rows)
    parts = [f"<div>{head}</div>", f"<table style='border:0;margin:4px 0'>{table}</table>" if rows else ""]
    if result.diagnosis:
        parts.append(f"<div><b>{message.markup(result.diagnosis)}</b></div>")
    if result.source:
        parts.append(f"<div>The same mistake in the wild: {message.markup(result.source)}</div>")
    parts.append("<div>Until it is right, the reference is used below.</div>")
    for i, text in enumerate(spec.hints[:opened]):
        parts.append(message.fold(f"Hint {i + 1} of {len(spec.hints)}", f"<div>{message.markup(text)}</div>"))
    if opened > len(spec.hints):
        parts.append(message.fold("Solution", _code(inspect.getsource(spec.solution))))
    parts.append(f"<div>{message.markup(_next(spec, opened))}</div>")
    return message.box(message.RED, *parts)


def _next(spec, opened: int) -> str:
    """What opens next, and after how many more different answers."""
    total = len(spec.hints)
    if opened > total:
        return f'The solution is open: `show_solution("{spec.id}")`.'
    if opened == total:
        return f'The solution opens after 1 more try; or now with `show_solution("{spec.id}")`.'
    left = total + 1 - opened
    return f'Hint {opened + 1} opens after 1 more try, the solution after {left}; or now with `hint("{spec.id}")`.'


def _picture(spec, fn: Callable, right: bool = False) -> None:
    """What this answer draws, and below a right one its numbers; a function that cannot be drawn is not drawn."""
    from ..pictures import style

    try:
        with isolated():
            figure, words = limited(lambda: earned(spec, fn))
    except (Exception, TimeUp):
        return
    if get_ipython() is not None:
        style.show(figure, words)
    if right:
        message.emit(message.box(message.GREEN, message.markup(words)), words)


def _code(source: str) -> str:
    return f"<pre style='margin:4px 0'>{html.escape(source)}</pre>"


def hint(id: str) -> None:
    """Open one more hint of an exercise now, and show all that are open."""
    spec, opened = find(id), 0

    def change(old: dict) -> dict:
        nonlocal opened
        entry = _entry(old)
        opened = min(max(len(entry["tries"]), entry["asked"]) + 1, len(spec.hints))
        return {**entry, "asked": opened}

    records.update("exercises", id, change)
    lines = [f"Hint {i + 1} of {len(spec.hints)}: {text}" for i, text in enumerate(spec.hints[:opened])]
    lines += [] if opened < len(spec.hints) else [f'Next: `show_solution("{id}")`']
    message.line(*lines)


def show_solution(id: str) -> None:
    """Show the source of the reference function."""
    source, title = inspect.getsource(find(id).solution), f"Solution of {id}: {find(id).title}"
    message.emit(message.box(message.GREY, f"<b>{message.markup(title)}</b>", _code(source)), f"{title}\n\n{source}")


def solution_markdown(id: str) -> str:
    """The text of a notebook's markdown cell that folds away the solution of an exercise. A test compares the two."""
    source = inspect.getsource(find(id).solution).rstrip()
    return f"<details><summary>Solution of {id}</summary>\n\n```python\n{source}\n```\n\n</details>"
