"""find_the_line: the sick line of three patients."""

from ..check import Exercise, require
from ..check.texts import of_exercise
from ..clinic.numbered import sick_line, sources

LISTED = (3, 8, 9)


def find_the_line(number):
    """The number of the sick line in the listings of patients 3, 8 and 9."""
    return {3: 27, 8: 39, 9: 15}[number]


def lines_that_differ(fn):
    answers = {number: fn(number) for number in LISTED}
    for number, line in answers.items():
        require(isinstance(line, int), "A line number is a whole number.", case=(number,), got=line)
        sick = sources(number)[1]
        text = sick[line - 1].strip() if 0 < line <= len(sick) else None
        words = f"Line {line} is `{text}`, and healthy." if text else f"The listing has {len(sick)} lines."
        require(line == sick_line(number), words, case=(number,), got=line)


def known(fn, said: str) -> str:
    mistakes = of_exercise("find_the_line", find_the_line)["mistakes"]
    return next((m.fn.__name__ for m in mistakes if all(m.fn(n) == fn(n) for n in LISTED)), said)


# Any number is near enough for the comparison with the reference, which would show the answer: the property decides.
EXERCISE = Exercise(solution=find_the_line, cases=lambda: [(number,) for number in LISTED], recognise=known, atol=1e9)
