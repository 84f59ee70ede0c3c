"""What an author writes: exercises with their wrong answers, predictions, quiz questions. Data; `grading.py` reads it.

Left out: inheritance and registration. An exercise is a file with one `EXERCISE`; what is read of it comes from
`texts.py`, which file it is from `index.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really write, and what the one who wrote it needs to hear.

    fn: the wrong function, with the arguments of the solution (a "mutant"). hint: one or two plain sentences for this
    mistake. source: where it was found in the wild ("openai/spinningup issue 50"), or "" if nobody is on record.
    alone: the hint is true of this mistake alone, not beside another one.
    """

    fn: Callable
    hint: str
    source: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Exercise:
    """One exercise: how to recognise a right answer, and what to say to each wrong one.

    solution: the reference, a plain function (its source is shown to learners, so write it for them).
    cases: a function that makes a list of argument tuples, smallest first, the same ones at every call (seed it), and
        covering every branch.
    suite: properties that stand in another file. recognise: fn, the mistake that a property named or "" -> the mistake
        that fn makes, or "", by what it does.
    gradient: also compare gradients, with respect to every floating-point tensor argument (True) or the named ones.
    rtol, atol: how close is equal. check_dtype: float32 is not float64, and not int64.
    picture: fn -> (Figure, {name: number}), drawn for right and for wrong answers.
    many_answers: any answer with these properties is right; values are not compared with the solution's.

    From the exercise's text, not from its file: id ("score_function", its file), title (a few words for the
    check's first line), hints (three, from a nudge to nearly the solution), mistakes (the wrong answers, at least
    four), raising (what it means if a case raises: "a healthy batch was accused", for "your function raised"),
    properties ({name: the sentence that a learner reads}, in order. The function of this name takes the learner's and
    raises `Wrong`, through `require` or `close`, when something that must hold does not), statistics (the same for
    checks by sampling, `mean_within`, which run after everything exact), drawn (the picture in a sentence,
    with the numbers that it gives by name: its alt text, and what a right answer reads below it).
    """

    solution: Callable
    cases: Callable[[], Sequence[tuple]]
    suite: Sequence[Callable] = ()
    recognise: Callable | None = None
    gradient: bool | Sequence[str] = False
    rtol: float = 1e-5
    atol: float = 1e-7
    check_dtype: bool = True
    picture: Callable | None = None
    many_answers: bool = False
    id: str = ""
    title: str = ""
    hints: Sequence[str] = ()
    mistakes: Sequence[Mistake] = ()
    raising: str = ""
    drawn: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    statistics: dict[str, str] = field(default_factory=dict)

    def check(self, name: str) -> Callable:
        """The property called `name`: of the exercise's own file or of its `suite`. KeyError if there is none."""
        return {f.__name__: f for f in self.suite}.get(name) or self.solution.__globals__[name]


@dataclass(frozen=True)
class Prediction:
    """The answer key of `predict`: `answer` is the right choice, word for word; `why` explains it after the reveal."""

    answer: str
    why: str


@dataclass(frozen=True)
class Choice:
    """One choice of a quiz question. `why` says what is right or wrong about exactly this choice."""

    text: str
    correct: bool
    why: str


@dataclass(frozen=True)
class Question:
    """One quiz question: its text and three or four choices, one of them correct."""

    text: str
    choices: Sequence[Choice] = field(default_factory=list)


# ---- what properties call ----------------------------------------------------


class Wrong(Exception):
    """Raised by a property. message "" means: the property's sentence says it.

    case: the arguments that showed it. got, want: the learner's value and the expected one. mistake: the name of the
    function of one of the exercise's mistakes, if this property can tell that it is that one; of two, with a space.
    """

    def __init__(self, message: str = "", *, case: tuple | None = None, got=None, want=None, mistake: str = ""):
        super().__init__(message)
        self.message, self.case, self.got, self.want, self.mistake = message, case, got, want, mistake


def require(condition, message="", *, case=None, got=None, mistake: str = "") -> None:
    """Raise `Wrong` unless `condition` holds."""
    if not bool(condition):
        raise Wrong(message, case=case, got=got, mistake=mistake)


def close(actual, expected, message="", *, case=None, rtol=1e-5, atol=1e-7, mistake: str = "") -> None:
    """Raise `Wrong` unless two values (numbers, tensors, tuples or dicts of them) agree, whatever their dtype."""
    from .compare import difference

    if difference(actual, expected, rtol=rtol, atol=atol, check_dtype=False):
        raise Wrong(message, case=case, got=actual, want=expected, mistake=mistake)


def mean_within(samples, truth, message="", *, sigmas: float = 4.0, case=None, mistake: str = "") -> None:
    """Raise `Wrong` unless the mean of `samples` (N, ...) is within `sigmas` standard errors of `truth` in every entry.

    Draw the samples with a fixed seed: the check then gives the same verdict at every run. Entries whose samples never
    vary must equal the truth to 1e-6. ValueError if the shapes do not fit or N < 2.
    """
    samples, truth = torch.as_tensor(samples).detach().double(), torch.as_tensor(truth).detach().double()
    if samples.shape[1:] != truth.shape or len(samples) < 2:
        raise ValueError(f"samples must be (N, *{tuple(truth.shape)}) with N >= 2; got {tuple(samples.shape)}")
    mean, error = samples.mean(0), samples.std(0) / len(samples) ** 0.5
    sure = (mean - truth).abs() <= sigmas * error + 1e-6  # False for NaN
    if not sure.all():
        far = torch.where(sure, -1.0, ((mean - truth).abs() / (error + 1e-12)).nan_to_num(torch.inf)).argmax()
        m, e, t = (x.flatten()[far].item() for x in (mean, error, truth))
        numbers = f"The mean of {len(samples)} samples is {m:.4g}, give or take {e:.2g}; exact is {t:.4g}."
        raise Wrong(f"{message} {numbers}".strip(), case=case, mistake=mistake)
