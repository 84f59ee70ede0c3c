"""The twelve patients under the numbers that they have in the clinic's notebook, and their listings."""

from __future__ import annotations

import inspect
import tomllib
from itertools import zip_longest
from pathlib import Path

from .ward import PATIENTS, Patient

NUMBERS = tuple(tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["names"])


def patient(number: int) -> Patient:
    """Patient 1 to 12 of the notebook."""
    if number not in range(1, len(NUMBERS) + 1):
        raise ValueError(f"patients have the numbers 1 to {len(NUMBERS)}; got {number!r}")
    return PATIENTS[NUMBERS[number - 1]]


def sources(number: int) -> tuple[list[str], list[str]]:
    """The lines of the (first) function that the patient's disease changes: healthy, and sick."""
    edit = patient(number).edits[0]
    with patient(number):
        sick = inspect.getsource(edit.find())
    return sick.replace(edit.sick, edit.healthy).splitlines(), sick.splitlines()


def listing(number: int) -> str:
    """The sick function of a patient with line numbers, as the trainer runs it."""
    head = f"{patient(number).edits[0].function}, as patient {number} runs it"
    return "\n".join([head, *(f"{n:3}  {line}".rstrip() for n, line in enumerate(sources(number)[1], 1))])


def sick_line(number: int) -> int:
    """The number of the first line that differs from the healthy source."""
    return next(n for n, (a, b) in enumerate(zip_longest(*sources(number)), 1) if a != b)
