"""Notebook 08: four exercises (from nb08_losses, nb08_batches and nb08_update), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import asked
from .nb08_batches import BATCHES
from .nb08_losses import ENTROPY, VALUE
from .nb08_update import UPDATE

TITLE = "The whole algorithm"
EXERCISES = [VALUE, ENTROPY, BATCHES, UPDATE]
PREDICTIONS, QUIZ = asked(__file__)
