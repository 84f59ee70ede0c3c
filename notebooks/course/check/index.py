"""Which data modules exist, in course order, and how to find an exercise, a prediction or a quiz by its id."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable

from .spec import Exercise, Prediction, Question

MODULES = (
    "nb00_start",
    "nb01_maze",
    "nb02_policy_gradient",
    "nb03_baselines",
    "nb04_gae",
    "nb05_trust_regions",
    "nb06_ppo_clip",
    "nb07_ppo_penalty",
    "nb08_whole_algorithm",
    "nb09_bug_clinic",
    "nb10_language_policy",
    "nb11_reward_model",
    "nb12_rlhf",
    "nb13_gpu",
)


def modules() -> dict:
    """{"00": module, "01": module, ...} in course order. Each has TITLE and EXERCISES."""
    return {name[2:4]: importlib.import_module(f"course.exercises.{name}") for name in MODULES}


def module(notebook: str):
    """The data module of notebook "02". Only this one is imported."""
    name = next((name for name in MODULES if name[2:4] == notebook), None)
    if name is None:
        raise ValueError(f"there is no notebook {notebook!r}; there are {', '.join(name[2:4] for name in MODULES)}")
    return importlib.import_module(f"course.exercises.{name}")


def _lookup(what: str, id: str, known: dict):
    if id not in known:
        near = difflib.get_close_matches(id, known, n=1)
        tip = f"did you mean {near[0]!r}?" if near else f"this notebook has {', '.join(known) or 'none'}"
        raise ValueError(f"there is no {what} {id!r}; {tip}")
    return known[id]


def find(id: str) -> Exercise:
    """The exercise with this id; ValueError with the nearest id if there is none."""
    if not isinstance(id, str) or "." not in id:
        raise ValueError(f'an exercise id looks like "02.score_function"; got {id!r}')
    return _lookup("exercise", id, {e.id: e for e in module(id.split(".")[0]).EXERCISES})


def find_prediction(id: str) -> Prediction:
    """The answer key of a prediction "01.q1"; ValueError if there is none."""
    if not isinstance(id, str) or "." not in id:
        raise ValueError(f'a prediction id looks like "01.q1"; got {id!r}')
    return _lookup("prediction", id, predictions(module(id.split(".")[0])))


def predictions(module) -> dict[str, Prediction]:
    """The answer keys of a data module, {} if it has none."""
    return getattr(module, "PREDICTIONS", {})


def questions(module) -> list[Question]:
    """The quiz of a data module, [] if it has none."""
    return list(getattr(module, "QUIZ", []))


def catalog() -> list[str]:
    """The ids of all exercises, in course order."""
    return [e.id for m in modules().values() for e in m.EXERCISES]


def solution(id: str) -> Callable:
    """The reference function of an exercise."""
    return find(id).solution
