"""From "wrong" to the sentence that helps: the smallest failing case, and the explanation of this very mistake.

A wrong answer is recognised by its behaviour. If it gives what one of the exercise's known mistakes gives, on every
case, the learner reads what was written for that mistake. If not, `compare.familiar` looks for a flipped sign, a factor
2 and the like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from . import sandbox
from .compare import as_tensor, difference, familiar, name_of
from .sandbox import Observation
from .spec import Exercise, Mistake


@dataclass(frozen=True)
class Grade:
    """status: "todo" | "wrong" | "ok". message: what a learner reads, as plain text. The other fields are its parts.

    stopped: the function was stopped before its end, and is not called again.
    """

    status: str
    message: str
    problem: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    diagnosis: str = ""
    source: str = ""
    stopped: bool = False


@dataclass
class Failure:
    """What failed first. rule: the property that did not hold, in its own words; "" if it was no property."""

    problem: str
    case: tuple | None = None
    got: object = None
    want: object = None
    has_values: bool = False
    mistake: str = ""
    printed: str = ""
    rule: str = ""
    also: str = ""
    stopped: bool = False


def explain(spec: Exercise, failure: Failure, seen: list[Observation], expected: list[Observation]) -> Grade:
    """The grade of a wrong answer. `seen` and `expected` are the observations of it and of the reference."""
    known = _recognise(spec, failure, seen, expected)
    if known:
        helps, source = known.hint, known.source
    else:
        complete = bool(seen) and not any(o.error or o.value is None for o in [*seen, *expected])
        triples = [(a.value, e.value, args) for a, e, args in zip(seen, expected, spec.cases())] if complete else []
        helps, source = familiar(triples), ""
    if failure.rule and not spec.many_answers:
        failure = _smallest(spec, failure, seen, expected)
    problem = failure.problem[0].upper() + failure.problem[1:]
    problem += "" if problem.endswith((".", "?")) else "."
    rows = tuple(_rows(spec, failure))
    lines = [f"{spec.id}: not right yet. {problem}", *(f"  {label:<9} {text}" for label, text in rows)]
    lines += [f"  {helps}"] if helps else []
    lines += [f"  The same mistake in the wild: {source}."] if source else []
    return Grade("wrong", "\n".join(lines), problem, rows, helps, source, failure.stopped)


def _rows(spec: Exercise, failure: Failure):
    if failure.case:
        names = sandbox.names_of(spec)
        yield "case", ", ".join(f"{n} = {show_value(v)}" for n, v in zip(names, failure.case))
    if failure.has_values:
        yield "yours", show_value(failure.got)
        if failure.want is not None:
            yield "expected", show_value(failure.want)
    if failure.printed.strip():
        yield "printed", " | ".join(failure.printed.strip().splitlines()[:5])[:200]
    if failure.also:
        yield "rule", f"also broken: {failure.also}"


def _smallest(spec, failure, seen, expected) -> Failure:
    """The first case whose value is wrong, if there is one. The rule, which may not concern that case, goes below."""
    for args, got, want in zip(spec.cases(), seen, expected):
        if want.error or got.error:
            continue
        found = differs(spec, got, want)
        if found:
            return Failure(found.message, args, got.value, want.value, True, printed=got.printed, also=failure.rule)
    return failure


# ---- which mistake is it? ----------------------------------------------------


def _recognise(spec, failure, seen, expected) -> Mistake | None:
    """The mistake that a property has named, or the one that behaves as the learner's function does on every case."""
    for mistake in spec.mistakes:
        if failure.mistake and mistake.fn.__name__ == failure.mistake:
            return mistake
    for mistake in spec.mistakes if seen else ():
        theirs = sandbox.observe_all(spec, mistake.fn)
        same = all(_alike(spec, a, b, e) for a, b, e in zip(seen, theirs, expected))
        if same and not all(_alike(spec, b, e, e) for b, e in zip(theirs, expected)):
            return mistake
    return None


def _alike(spec, a: Observation, b: Observation, expected: Observation) -> bool:
    """Do two functions behave alike on a case? Where the reference raises too, only the types of exceptions count."""
    if a.changed != b.changed:
        return False
    if a.error or b.error:
        return a.error.split(":")[0] == b.error.split(":")[0] if expected.error else a.error == b.error
    if differs(spec, a, b):
        return False
    return difference(a.gradients or {}, b.gradients or {}, **gradient_tolerance(spec)) is None


def differs(spec: Exercise, a: Observation, b: Observation):
    """The `Difference` between two observed values within the exercise's tolerance, or None."""
    return difference(a.value, b.value, rtol=spec.rtol, atol=spec.atol, check_dtype=spec.check_dtype)


def gradient_tolerance(spec: Exercise) -> dict:
    """Gradients are compared a little more loosely than values."""
    return {"rtol": max(spec.rtol, 1e-4), "atol": max(spec.atol, 1e-6), "check_dtype": False}


# ---- values as text ----------------------------------------------------------


def show_value(value, width: int = 160, depth: int = 0) -> str:
    """A value as one short line: numbers with 6 digits, large tensors as their shape, never a memory address.

    >>> show_value(torch.tensor([[1.0, 1 / 3]])), show_value([1, 0.1 + 0.2]), show_value(print)
    ('tensor([[1.0, 0.333333]])', '[1, 0.3]', 'print')
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        dtype = str(value.dtype).removeprefix("torch.")
        if as_tensor(value) is None:
            return name_of(value)
        if np.prod(value.shape) > 24:
            return f"{kind} of shape {tuple(value.shape)}, {dtype}"
        usual = dtype in ("float32", "int64", "bool")
        text = f"{kind}({show_value(value.tolist(), 10**6)}{'' if usual else ', dtype=' + dtype})"
    elif depth > 5 and isinstance(value, (list, tuple, dict)):
        text = "..."
    elif isinstance(value, (list, tuple)):
        inner = ", ".join(show_value(v, 160, depth + 1) for v in value[:200])
        text = f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{k!r}: {show_value(v, 160, depth + 1)}" for k, v in list(value.items())[:200]) + "}"
    elif isinstance(value, (float, np.floating)):
        text = f"{value:.6g}"
        text += ".0" if text.lstrip("-").isdigit() else ""
    elif callable(value) and hasattr(value, "__name__"):
        text = value.__name__
    else:
        try:
            text = " ".join(repr(value).split())
        except Exception:  # it cannot say what it is
            text = " at 0x"
        text = type(value).__name__ if " at 0x" in text else text
    return text if len(text) <= width else text[: width - 4] + " ..."
