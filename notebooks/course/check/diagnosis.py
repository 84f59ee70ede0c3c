"""From "wrong" to the sentence that helps: the smallest failing case, and the explanation of this very mistake.

A wrong answer is recognised by its behaviour. If it gives what one of the exercise's known mistakes gives, on every
case, the learner reads what was written for that mistake. If not, two mistakes at once are looked for, and `slips` for
a flipped sign, a factor 2 and the like. A wrong hint is worse than none: what fits two mistakes is left unsaid.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np
import torch

from ..edited import edited
from . import sandbox
from .compare import as_tensor, difference, leaves, name_of
from .sandbox import Observation
from .slips import familiar
from .spec import Exercise


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
    tip: str = ""


def explain(spec: Exercise, failure: Failure, seen: list[Observation], expected: list[Observation]) -> Grade:
    """The grade of a wrong answer. `seen` and `expected` are the observations of it and of the reference."""
    helps, source = _diagnose(spec, failure, seen, expected)
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
    for args, got, want, found in differences(spec, seen, expected):
        return Failure(found.message, args, got.value, want.value, True, printed=got.printed, also=failure.rule)
    return failure


def differences(spec: Exercise, seen: list[Observation], expected: list[Observation]) -> list[tuple]:
    """(arguments, got, wanted, `Difference`) of every case that is off; wrong dtypes last, wrong numbers say more."""
    calls = [each for each in zip(spec.cases(), seen, expected) if not (each[1].error or each[2].error)]
    found = [(*call, off) for call in calls if (off := differs(spec, *call[1:]))]
    return sorted(found, key=lambda each: each[-1].kind == "dtype")


# ---- which mistake is it? ----------------------------------------------------


def _diagnose(spec, failure, seen, expected) -> tuple[str, str]:
    """(what helps, where the same mistake was seen): a known mistake, several, or a familiar slip; "" if none fits."""
    theirs = [(m, sandbox.observe_all(spec, m.fn)) for m in spec.mistakes] if seen else []
    for types in (True, False):  # whose numbers are those of a mistake has made it, whatever their dtype
        wrong = [(m, o) for m, o in theirs if not _same(spec, o, expected, expected, types)]
        for mistake, observed in wrong:
            if _same(spec, seen, observed, expected, types):
                return mistake.hint, mistake.source
    named = [m for m in spec.mistakes if m.fn.__name__ in failure.mistake.split()]
    if named:
        more = " And: ".join(m.hint for m in named)
        return (named[0].hint, named[0].source) if len(named) == 1 else (f"Two slips at once. {more}", "")
    if not seen or any(o.error or o.value is None for o in [*seen, *expected]):
        return failure.tip, ""
    helps = _parts(spec, seen, wrong, expected) or _two_edits(spec, seen, expected)
    helps = helps or familiar(_triples(spec, seen, expected), sandbox.names_of(spec)) or failure.tip
    off = any(_far(spec, a.value, e.value) for a, e in zip(seen, expected))
    return helps or (_on_top(spec, seen, wrong) if off else ""), ""


def _triples(spec, seen, expected, key=None):
    """(actual, expected, arguments) of each case; of one part of the result if a key is given."""
    calls = [(a.value, e.value, args) for a, e, args in zip(seen, expected, spec.cases())]
    return calls if key is None else [({key: a[key]}, {key: e[key]}, args) for a, e, args in calls]


def _keys(value) -> tuple:
    return tuple(value) if isinstance(value, dict) else tuple(range(len(value))) if isinstance(value, tuple) else ()


def _parts(spec, seen, wrong, expected) -> str:
    """Where the result has parts: the hint of the one mistake that explains each part, or the slip in it."""
    keys = _keys(expected[0].value)
    if len(keys) < 2 or any(set(_keys(o.value)) != set(keys) for o in [*seen, *expected]):  # a dict in any order
        return ""

    def off(a, b):
        return {k for k in keys if any(_far(spec, x, y) for x, y, _ in _triples(spec, a, b, k))}

    here, found = off(seen, expected), []
    theirs = [(m.hint, o, off(o, expected)) for m, o in wrong if all(set(_keys(x.value)) == set(keys) for x in o)]
    for key in sorted(here, key=keys.index):
        fits = [hint for hint, o, bad in theirs if key in bad <= here and key not in off(seen, o)]
        words = fits[0] if len(fits) == 1 else ""
        found.append(words or familiar(_triples(spec, seen, expected, key), sandbox.names_of(spec)))
    return " ".join(dict.fromkeys(words for words in found if words))


def _on_top(spec, seen, wrong) -> str:
    """Two slips at once: what a known mistake gives with another sign or order, if it is one mistake alone."""
    names, found = sandbox.names_of(spec), []
    for mistake, observed in wrong:
        if any(o.error or o.value is None for o in observed):
            continue
        words = familiar(_triples(spec, seen, observed), names)
        if "sign is flipped" in words and _places_off(spec, seen, observed) > 1:
            continue  # one of several numbers is turned round, and the others are off as well
        found += [(short, mistake.hint) for start, short in _SHORT.items() if start in words]
    return f"This fits two slips at once. One is {found[0][0]}; the other: {found[0][1]}" if len(found) == 1 else ""


def _places_off(spec, seen, others) -> int:
    """How many parts of the result differ, in any of the cases."""
    parts = [(dict(leaves(a.value)), dict(leaves(b.value))) for a, b in zip(seen, others)]
    return len({path for a, b in parts for path in b if path not in a or _far(spec, a[path], b[path])})


_SHORT = {"sign is flipped": "the sign", "are swapped": "the order of what you return"}


def _two_edits(spec, seen, expected) -> str:
    """Two known slips at once, both edits of the solution: the hints of the pair, or of what all pairs share."""
    began, known, fits = time.process_time(), [m for m in spec.mistakes if _is_slip(m.fn) and not m.alone], []
    for pair in combinations(known, 2):
        try:
            both = edited(spec.solution, pair[0].fn.edits | pair[1].fn.edits, "two_mistakes")
        except ValueError:  # they change the same place
            continue
        first = sandbox.observe(both, spec.cases()[0], sandbox.names_of(spec))
        like = not first.error and not _far(spec, first.value, seen[0].value)  # one case is quick, all are not
        if like and _same(spec, sandbox.observe_all(spec, both), seen, expected):
            fits.append([m.hint for m in pair])
        if time.process_time() - began > 5:  # there are many pairs, and the reader waits
            break
    shared = [hint for hint in fits[0] if all(hint in pair for pair in fits)] if fits else []
    if len(shared) == 2:
        return f"Two slips at once. {shared[0]} And: {shared[1]}"
    return f"More than one slip. One of them: {shared[0]}" if shared else ""


def _is_slip(fn) -> bool:
    """Does it differ from the solution in few characters? Two rewritten lines together would explain anything."""
    pairs = [SequenceMatcher(None, *pair, autojunk=False) for pair in getattr(fn, "edits", {}).items()]
    parts = [part for pair in pairs for part in pair.get_opcodes() if part[0] != "equal"]
    return bool(parts) and sum(a1 - a0 + b1 - b0 for _, a0, a1, b0, b1 in parts) <= 24


def _same(spec, seen, others, expected, types=True) -> bool:
    """Do two functions behave alike on every case?"""
    wanted = {e.error.split(":")[0] for e in expected if e.error}
    return all(_alike(spec, *pair, bool(e.error) or wanted, types) for *pair, e in zip(seen, others, expected))


def _alike(spec, a: Observation, b: Observation, free: bool | set[str], types: bool) -> bool:
    """Do two functions behave alike on a case? free: the types of exceptions whose words do not count; True: all."""
    if a.changed != b.changed:
        return False
    if a.error or b.error:
        kind, other = (x.error.split(":")[0] for x in (a, b))
        return kind == other if free is True or kind in free else a.error == b.error
    if differs(spec, a, b) if types else _far(spec, a.value, b.value):
        return False
    return difference(a.gradients or {}, b.gradients or {}, **gradient_tolerance(spec)) is None


def differs(spec: Exercise, a: Observation, b: Observation):
    """The `Difference` between two observed values within the exercise's tolerance, or None."""
    return difference(a.value, b.value, rtol=spec.rtol, atol=spec.atol, check_dtype=spec.check_dtype)


def _far(spec: Exercise, a, b) -> bool:
    """Do two values differ, whatever their dtypes?"""
    return difference(a, b, rtol=spec.rtol, atol=spec.atol, check_dtype=False) is not None


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
