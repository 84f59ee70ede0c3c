"""`progress()` draws what `records.py` stores; `reset()` forgets all of it or a part."""

from __future__ import annotations

from pathlib import Path

from . import index, message, records
from .index import Notebook

HEAD = ("notebook", "exercises", "predictions", "quiz", "challenge")
WIDTHS = (32, 19, 19, 15, 15)  # per cent
FOLDER = Path(__file__).resolve().parents[2]  # where the notebooks lie


def progress() -> None:
    """A table of exercises solved, predictions right, quizzes and challenges, from one local file; titles are links.

    The first notebook with an exercise that is not solved or a quiz that is not taken says "continue here".
    """
    data, books = records.read(), index.notebooks()
    rows = [_row(name, notebook, data) for name, notebook in books.items()]
    open_ones = [i for i, (name, book) in enumerate(books.items()) if not _done(name, book, data)]
    if open_ones:
        title, *rest = rows[open_ones[0]]
        rows[open_ones[0]] = (f"{title} ← continue here", *rest)
    widths = [max(len(row[i]) for row in [HEAD, *rows]) for i in range(len(HEAD))]
    text = "\n".join("  ".join(p.ljust(w) for p, w in zip(row, widths)).rstrip() for row in [HEAD, *rows])
    fold = "white-space:normal;overflow-wrap:break-word"  # styles that JupyterLab leaves in a table that is not trusted
    style = f"text-align:left;vertical-align:top;padding:2px 8px 2px 0;{fold}"  # in a narrow page nothing is cut
    titles = "".join(f'<th scope="col" style="width:{w}%;{style}">{part}</th>' for part, w in zip(HEAD, WIDTHS))
    links = [(_link(book, first), *map(message.markup, rest)) for book, (first, *rest) in zip(books.values(), rows)]
    body = "".join("<tr>" + "".join(f'<td style="{style}">{part}</td>' for part in row) + "</tr>" for row in links)
    parts = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    message.emit(f"<table style='table-layout:fixed;width:100%;max-width:900px;margin:0'>{parts}</table>", text)


def _done(name: str, notebook: Notebook, data: dict) -> bool:
    solved = all(data["exercises"].get(id, {}).get("solved") is True for id in notebook.exercises)
    return solved and isinstance(data["quizzes"].get(name, {}).get("best"), int)


def _link(notebook: Notebook, words: str) -> str:
    """The words of a title, leading to its notebook where there is one."""
    file = next((path.name for path in sorted(FOLDER.glob(f"{notebook.number}_*.ipynb"))), None)
    return f'<a href="{file}">{message.markup(words)}</a>' if file else message.markup(words)


def _row(name: str, notebook: Notebook, data: dict) -> tuple[str, ...]:
    entries = [data["exercises"].get(id, {}) for id in notebook.exercises]
    solved = sum(e.get("solved") is True for e in entries)
    tried = sum(bool(e.get("tries")) and e.get("solved") is not True for e in entries)
    made = {id: data["predictions"].get(id, {}).get("choice") for id in notebook.predictions}
    right = sum(made[id] == key.answer for id, key in notebook.predictions.items())
    predicted = sum(choice is not None for choice in made.values())
    best, challenge = (data[part].get(name, {}) for part in ("quizzes", "challenges"))
    best, score = best.get("best"), challenge.get("best")
    return (
        f"{notebook.number} {notebook.title}",
        f"{'■' * solved}{'□' * (len(entries) - solved)} {solved} of {len(entries)} solved"
        + (f", {tried} tried" if tried else ""),
        f"{right} right of {predicted} made" if predicted else f"none of {len(made)} made",
        f"{best} of {len(notebook.quiz)}" if isinstance(best, int) else "not taken",
        f"{score:.4g}{', ahead' if challenge.get('beats') else ''}" if isinstance(score, float) else "",
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
