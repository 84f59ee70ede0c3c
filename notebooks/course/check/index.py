"""The course as a table: which notebooks there are, and how to find an exercise, a prediction or a quiz by its id."""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from .. import exercises
from . import texts
from .spec import Exercise, Prediction, Question

_TABLE = tomllib.loads((Path(exercises.__file__).parent / "catalogue.toml").read_text("utf-8"))
NOTEBOOKS: dict[str, dict[str, str]] = {  # {"06": {"06.clipped_surrogate": "clipped_surrogate", ...}}: id, file
    number: {_TABLE["ids"].get(name, f"{number}.{name}"): name for name in names}
    for number, names in _TABLE["notebooks"].items()
}


@dataclass(frozen=True)
class Notebook:
    """A notebook as the framework sees it. exercises: {id: file}, in the order in which they are met."""

    title: str
    exercises: dict[str, str]
    predictions: dict[str, Prediction]
    quiz: list[Question]


def notebooks() -> dict[str, Notebook]:
    """{"00": Notebook, "01": Notebook, ...} in course order."""
    return {number: notebook(number) for number in NOTEBOOKS}


def notebook(number: str) -> Notebook:
    """Notebook "02". ValueError if there is none of this number."""
    if number not in NOTEBOOKS:
        raise ValueError(f"there is no notebook {number!r}; there are {', '.join(NOTEBOOKS)}")
    title, predictions, quiz = texts.of_notebook(number)
    return Notebook(title, NOTEBOOKS[number], predictions, quiz)


def find(id: str) -> Exercise:
    """The exercise with this id; ValueError with the nearest id if there is none."""
    if not isinstance(id, str) or "." not in id:
        raise ValueError(f'an exercise id looks like "02.score_function"; got {id!r}')
    return load(id, _lookup("exercise", id, notebook(id.split(".")[0]).exercises), texts.language())


@cache
def load(id: str, name: str, language: str) -> Exercise:
    """The exercise in the file `name`, with the texts of this language."""
    spec = importlib.import_module(f"course.exercises.{name}").EXERCISE
    return replace(spec, id=id, **texts.of_exercise(name, spec.solution))


def find_prediction(id: str) -> Prediction:
    """The answer key of a prediction "01.q1"; ValueError if there is none."""
    if not isinstance(id, str) or "." not in id:
        raise ValueError(f'a prediction id looks like "01.q1"; got {id!r}')
    return _lookup("prediction", id, notebook(id.split(".")[0]).predictions)


def _lookup(what: str, id: str, known: dict):
    if id not in known:
        near = difflib.get_close_matches(id, known, n=1)
        tip = f"did you mean {near[0]!r}?" if near else f"this notebook has {', '.join(known) or 'none'}"
        raise ValueError(f"there is no {what} {id!r}; {tip}")
    return known[id]


def catalog() -> list[str]:
    """The ids of all exercises, in course order."""
    return [id for ids in NOTEBOOKS.values() for id in ids]


def solution(id: str) -> Callable:
    """The reference function of an exercise."""
    return find(id).solution
