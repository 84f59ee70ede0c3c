"""Notebook 05: its exercises (from nb05_surrogate, nb05_solver and nb05_step), three predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb05_solver import CG, FISHER
from .nb05_step import STEP
from .nb05_surrogate import KL, SURROGATE

TITLE = "Trusting old data: surrogates and TRPO"
EXERCISES = [SURROGATE, KL, FISHER, CG, STEP]
PREDICTIONS, QUIZ = asked(__file__)
