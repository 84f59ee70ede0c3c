"""Notebook 09: four exercises (from nb09_ward, nb09_healthy, nb09_walk and nb09_tutorial), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb09_healthy import HEALTHY
from .nb09_tutorial import TUTORIAL
from .nb09_walk import WALK
from .nb09_ward import LINE

TITLE = "The bug clinic"
EXERCISES = [LINE, HEALTHY, WALK, TUTORIAL]
PREDICTIONS, QUIZ = asked(__file__)
