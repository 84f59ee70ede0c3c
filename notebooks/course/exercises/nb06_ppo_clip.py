"""Notebook 06: four exercises (from nb06_surrogate, nb06_watch and nb06_dual), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb06_dual import DUAL
from .nb06_surrogate import SURROGATE
from .nb06_watch import FRACTION, STOP

TITLE = "PPO-Clip: six cases and one myth"
EXERCISES = [SURROGATE, FRACTION, STOP, DUAL]
PREDICTIONS, QUIZ = asked(__file__)
