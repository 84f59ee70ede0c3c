"""Notebook 02: three exercises (from nb02_score, nb02_estimate and nb02_repair), three predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb02_estimate import ESTIMATE
from .nb02_repair import REPAIR
from .nb02_score import SCORE

TITLE = "Policy gradient"
EXERCISES = [SCORE, ESTIMATE, REPAIR]
PREDICTIONS, QUIZ = asked(__file__)
