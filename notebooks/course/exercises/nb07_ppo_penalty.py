"""Notebook 07: three exercises (nb07_surrogate, nb07_rules, nb07_estimates), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb07_estimates import ESTIMATES
from .nb07_rules import RULE
from .nb07_surrogate import SURROGATE

TITLE = "PPO-Penalty, and the two KLs"
EXERCISES = [SURROGATE, RULE, ESTIMATES]
PREDICTIONS, QUIZ = asked(__file__)
