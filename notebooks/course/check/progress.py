"""`progress()` draws what `records.py` stores; `reset()` forgets all of it or a part."""

from __future__ import annotations

from . import index, message, records
from .index import Notebook

HEAD = ("notebook", "exercises", "predictions", "quiz")


def progress() -> None:
    """A table of exercises solved, predictions right and quiz scores, from one local file."""
    data = records.read()
    rows = [_row(name, notebook, data) for name, notebook in index.notebooks().items()]
    widths = [max(len(row[i]) for row in [HEAD, *rows]) for i in range(len(HEAD))]
    text = "\n".join("  ".join(p.ljust(w) for p, w in zip(row, widths)).rstrip() for row in [HEAD, *rows])
    fold = "white-space:normal;overflow-wrap:anywhere"  # in a narrow page lines break, nothing is cut
    style = f'style="text-align:left;vertical-align:top;padding:2px 8px 2px 0;{fold}"'
    titles = "".join(f'<th scope="col" {style}>{part}</th>' for part in HEAD)
    body = "".join("<tr>" + "".join(f"<td {style}>{message.markup(p)}</td>" for p in row) + "</tr>" for row in rows)
    parts = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    message.emit(f"<table style='max-width:100%;margin:0'>{parts}</table>", text)


def _row(name: str, notebook: Notebook, data: dict) -> tuple[str, ...]:
    entries = [data["exercises"].get(id, {}) for id in notebook.exercises]
    solved = sum(e.get("solved") is True for e in entries)
    tried = sum(bool(e.get("tries")) and e.get("solved") is not True for e in entries)
    made = {id: data["predictions"].get(id, {}).get("choice") for id in notebook.predictions}
    right = sum(made[id] == key.answer for id, key in notebook.predictions.items())
    predicted = sum(choice is not None for choice in made.values())
    best = data["quizzes"].get(name, {}).get("best")
    return (
        f"{notebook.number} {notebook.title}",
        f"{'■' * solved}{'□' * (len(entries) - solved)} {solved} of {len(entries)} solved"
        + (f", {tried} tried" if tried else ""),
        f"{right} right of {predicted} made" if predicted else f"none of {len(made)} made",
        f"{best} of {len(notebook.quiz)}" if isinstance(best, int) else "not taken",
    )


def reset(what: str = "") -> None:
    """Start over: `reset("score_function")` an exercise or a prediction, `reset("score")` a notebook, `reset()` all.

    A notebook goes by its number, too: `reset("02")`. ValueError if nothing has this name.
    """
    books = index.notebooks() if what else {}
    known = {id: {id} for book in books.values() for id in (*book.exercises, *book.predictions)}
    for name, book in books.items():
        known[name] = known[book.number] = {name, *book.exercises, *book.predictions}
    gone = known[index.known("exercise, prediction or notebook", what, known)] if what else None
    data = records.read()
    for section in records.SECTIONS:
        data[section] = {key: entry for key, entry in data[section].items() if gone is not None and key not in gone}
    records.write(data)
    message.line(f"Progress of {what} is reset." if what else "All progress is reset.")
