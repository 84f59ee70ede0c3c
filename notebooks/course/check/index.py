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
NOTEBOOKS: dict[str, list[str]] = _TABLE["notebooks"]  # {"start": ["hello"], "maze": ["step", ...]}, in course order
NUMBERS = {name: f"{i:02}" for i, name in enumerate(NOTEBOOKS)}  # {"start": "00", ...}: they stand in file names alone
OLD_IDS: dict[str, str] = _TABLE["old_ids"]  # of the days when ids began with a number; progress files still have them


@dataclass(frozen=True)
class Notebook:
    """A notebook as the framework sees it. number: "06". exercises: their ids, in the order in which they are met."""

    number: str
    title: str
    exercises: list[str]
    predictions: dict[str, Prediction]
    quiz: list[Question]


def notebooks() -> dict[str, Notebook]:
    """{"start": Notebook, "maze": Notebook, ...} in course order."""
    return {name: notebook(name) for name in NOTEBOOKS}


def notebook(name: str) -> Notebook:
    """The notebook called "score". ValueError if there is none of this name."""
    known("notebook", name, NOTEBOOKS)
    title, predictions, quiz = texts.of_notebook(name)
    return Notebook(NUMBERS[name], title, NOTEBOOKS[name], predictions, quiz)


def find(id: str) -> Exercise:
    """The exercise with this id, "score_function"; ValueError with the nearest id if there is none."""
    return load(known("exercise", id, catalog()), texts.language())


@cache
def load(id: str, language: str) -> Exercise:
    """The exercise in the file of this name, with the texts of this language."""
    spec = importlib.import_module(f"course.exercises.{id}").EXERCISE
    return replace(spec, id=id, **texts.of_exercise(id, spec.solution))


def find_prediction(id: str) -> Prediction:
    """The answer key of a prediction, "first_step"; ValueError with the nearest id if there is none."""
    keys = {id: key for name in NOTEBOOKS for id, key in texts.of_notebook(name)[1].items()}
    return keys[known("prediction", id, keys)]


def known(what: str, id: str, table) -> str:
    """The id itself if the table has it; ValueError with the nearest one, or the one that an old id became."""
    if not isinstance(id, str) or id not in table:
        meant = OLD_IDS.get(id) if isinstance(id, str) else None
        near = [meant] if meant in table else difflib.get_close_matches(str(id), table, n=1)
        tip = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(table)}"
        raise ValueError(f"there is no {what} {id!r}; {tip}")
    return id


def catalog() -> list[str]:
    """The ids of all exercises, in course order."""
    return [id for ids in NOTEBOOKS.values() for id in ids]


def solution(id: str) -> Callable:
    """The reference function of an exercise."""
    return find(id).solution
