"""What learners read of an exercise or a notebook, from `course/text/en/NAME.toml`: the one place that knows languages.

Another language is a folder beside `en`, chosen by PPO_LESSON_LANGUAGE. Its files say again what they translate, under
the same keys; a file or a key that it lacks is said in English. So no translation repeats an edit or a source.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

from ..edited import edited
from .spec import Choice, Mistake, Prediction, Question

FOLDER = Path(__file__).resolve().parents[1] / "text"


def language() -> str:
    """The folder of the chosen language: "en", or what PPO_LESSON_LANGUAGE says. ValueError if there is none."""
    chosen = os.environ.get("PPO_LESSON_LANGUAGE") or "en"
    known = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
    if chosen not in known:
        raise ValueError(f"PPO_LESSON_LANGUAGE={chosen!r} has no texts here; there are {', '.join(known)}")
    return chosen


def of_exercise(name: str, solution: Callable) -> dict:
    """{"title": str, "hints": three, "mistakes": list of `Mistake`, ...} of text/en/NAME.toml.

    ValueError that names file, mistake and key: an unknown or missing key, an empty text, an edit that no longer fits.
    """
    where, text = f"{name}.toml", read(name)
    _check(text, where, ("title", "hints", "mistakes"), ("raising", "properties", "statistics", "drawn"))
    if len(text["hints"]) != 3 or not all(text["hints"]):
        raise ValueError(f"{where}: hints must be three sentences, from a nudge to the line; got {text['hints']}")
    for mistake, entry in text["mistakes"].items():
        _check(entry, f"{where}, mistake {mistake!r}", ("edits", "hint"), ("source", "alone"))
    mistakes = [
        Mistake(edited(solution, dict(entry.pop("edits")), mistake), **entry)
        for mistake, entry in text["mistakes"].items()
    ]
    return text | {"mistakes": mistakes}


def of_notebook(name: str) -> tuple[str, dict[str, Prediction], list[Question]]:
    """(title, {id: prediction}, the quiz) of text/en/notebooks/clip.toml. ValueError as above."""
    where, text = f"notebooks/{name}.toml", read(f"notebooks/{name}")
    _check(text, where, ("title", "predictions", "quiz"))
    for id, entry in text["predictions"].items():
        _check(entry, f"{where}, prediction {id!r}", ("answer", "why"))
    for n, question in enumerate(text["quiz"], 1):
        _check(question, f"{where}, question {n}", ("text", "choices"))
        for choice in question["choices"]:
            _check(choice, f"{where}, question {n}, choice {choice.get('text')!r}", ("text", "why"), ("correct",))
    quiz = [Question(q["text"], [Choice(**{"correct": False} | c) for c in q["choices"]]) for q in text["quiz"]]
    return text["title"], {id: Prediction(**entry) for id, entry in text["predictions"].items()}, quiz


def read(name: str) -> dict:
    """The texts called `name` in the chosen language, over the English ones."""
    own, path = language(), FOLDER / "en" / f"{name}.toml"
    text = tomllib.loads(path.read_text("utf-8"))
    if own != "en" and (path := FOLDER / own / f"{name}.toml").is_file():
        _lay_over(text, tomllib.loads(path.read_text("utf-8")), f"{own}/{name}.toml")
    return text


def _lay_over(below: dict, above: dict, where: str) -> None:
    for key, value in above.items():
        if key not in below:
            raise ValueError(f"{where}: the English text has no {key!r}; it has {', '.join(below)}")
        if isinstance(value, dict):
            _lay_over(below[key], value, f"{where}, {key!r}")
        else:
            below[key] = value


def _check(table: dict, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """ValueError unless the table has every needed key with something in it, and none beside these and `optional`."""
    if unknown := table.keys() - {*needed, *optional}:
        known = ", ".join((*needed, *optional))
        raise ValueError(f"{where}: unknown key {', '.join(map(repr, sorted(unknown)))}; known are {known}")
    if missing := [key for key in needed if table.get(key, "") in ("", [])]:
        raise ValueError(f"{where}: {', '.join(map(repr, missing))} is missing or empty")
