"""Notebook 09: the twelve patients under their numbers, their listings, and finding the line."""

from __future__ import annotations

import inspect
from itertools import zip_longest

from ..check.spec import Exercise, Mistake, require
from ..clinic import ward as clinic

NUMBERS = (
    "gradient-not-zeroed",
    "truncation-as-termination",
    "entropy-sign",
    "ratio-of-logs",
    "autoreset-trained-on",
    "old-logp-recomputed",
    "whitening-axis",
    "done-ignored",
    "min-before-multiplying",
    "reward-shifted",
    "target-recomputed",
    "not-detached",
)  # patient 1, 2, ..., 12: another order than in clinic.py, so that the list gives nothing away


def patient(number: int) -> clinic.Patient:
    """Patient 1 to 12 of the notebook."""
    if number not in range(1, len(NUMBERS) + 1):
        raise ValueError(f"patients have the numbers 1 to {len(NUMBERS)}; got {number!r}")
    return clinic.PATIENTS[NUMBERS[number - 1]]


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


# ---- 09.find_the_line ----------------------------------------------------------------------------------------------


LISTED = (3, 8, 9)


def find_the_line(number):
    """The number of the sick line in the listings of patients 3, 8 and 9."""
    return {3: 27, 8: 47, 9: 21}[number]


def _lines_that_differ(fn):
    """The line you name must differ from the line that the healthy trainer has there."""
    answers = {number: fn(number) for number in LISTED}
    known = [m.fn.__name__ for m in LINE.mistakes if all(m.fn(n) == answer for n, answer in answers.items())]
    for number, line in answers.items():
        require(isinstance(line, int), "A line number is a whole number.", case=(number,), got=line)
        sick = sources(number)[1]
        text = sick[line - 1].strip() if 0 < line <= len(sick) else None
        words = f"Line {line} is `{text}`, and healthy." if text else f"The listing has {len(sick)} lines."
        require(line == sick_line(number), words, case=(number,), got=line, mistake="".join(known))


def _from_zero(number):
    return find_the_line(number) - 1


def _where_it_shows(number):
    return {3: 28, 8: 48, 9: 23}[number]


def _the_fraction(number):
    return {3: 27, 8: 47, 9: 28}[number]


def _the_docstring(number):
    return {3: 27, 8: 15, 9: 21}[number]


LINE = Exercise(
    id="09.find_the_line",
    title="The sick line of three patients",
    solution=find_the_line,
    cases=lambda: [(number,) for number in LISTED],
    properties=[_lines_that_differ],
    atol=1e9,  # the property decides: a comparison with the reference would show the answer
    mistakes=[
        Mistake(_from_zero, "Each answer is one too small: the listings begin with line 1."),
        Mistake(
            _where_it_shows,
            "You named the lines where the trouble arrives. Go up: which line made the numbers that are used there?",
        ),
        Mistake(
            _the_fraction,
            "Patient 9: the second clip is meant to bound A < 0, and it does. Look at how the first one is made.",
            "natolambert/rlhf-book pull request 139: a right line about A < 0 was `repaired`",
        ),
        Mistake(
            _the_docstring,
            "Patient 8: the formula in the docstring is right. Compare it, term by term, with the code below.",
        ),
    ],
    hints=[
        "Each docstring and each formula in the text is healthy. Compare the code with them, term by term.",
        "Patient 3 has a sign, patient 8 forgets something that an end must do, patient 9 has brackets.",
        "Patient 3: the entropy bonus. Patient 8: what the trace is multiplied by. Patient 9: what `minimum` compares.",
    ],
)
