"""Grade one function: not attempted, right, or wrong, and then what exactly is wrong with it.

The order of checks: crashes, shapes and dtypes; properties; gradients; statistics; last, comparison with the reference.
What the learner reads about a wrong answer is put together in `diagnosis.py`.
"""

from __future__ import annotations

from . import diagnosis, sandbox, texts
from .ahead import go_ahead
from .compare import as_tensor, difference, leaves
from .diagnosis import Failure, Grade
from .index import find
from .sandbox import Observation, TimeUp
from .slips import error_tip, shape_tip
from .spec import Exercise, Wrong
from .stub import is_stub, returns_something


def grade(id: str, fn) -> Grade:
    """Grade `fn` as an answer to exercise `id`. Prints and stores nothing; ValueError if there is no such exercise."""
    spec, fn = find(id), getattr(fn, "yours", fn)
    if is_stub(fn, spec):
        return Grade("todo", f"{id}: not attempted, using the reference below.")
    with sandbox.isolated():
        expected = sandbox.observe_all(spec, spec.solution)
        failure, seen = _examine(spec, fn, expected)
        if failure is None:
            return Grade("ok", f"{id}: right. From here on, your function is used.")
        return diagnosis.explain(spec, failure, seen, expected)


def ahead(id: str, fn) -> Grade | None:
    """The grade of a function that would stop the notebook itself; None for any other."""
    spec, fn = find(id), getattr(fn, "yours", fn)
    if is_stub(fn, spec):
        return None
    with sandbox.isolated():
        stopped, case = go_ahead(spec, fn)
        return diagnosis.explain(spec, Failure(stopped, case, stopped=True), [], []) if stopped else None


def _examine(spec: Exercise, fn, expected: list[Observation]) -> tuple[Failure | None, list[Observation]]:
    """The first thing that is wrong (None: all right), and what was observed on the cases."""
    now, seen = [], []

    def work():
        seen.extend(sandbox.observe_all(spec, fn, now))
        now.clear()
        return (
            _structure(spec, fn, seen, expected)
            or _properties(spec, spec.properties, fn, now)
            or _gradients(spec, seen, expected)
            or _properties(spec, spec.statistics, fn, now)
            or (None if spec.many_answers else _values(spec, seen, expected))
        )

    try:
        return sandbox.limited(work), seen
    except TimeUp:
        if seen and not now:
            return Failure("it finished, but what came back is too much to be compared within 1 second"), []
        return Failure(sandbox.LATE, now[0] if now else None, stopped=True), []
    except Exception as problem:  # what came back is like nothing that is expected
        return Failure(f"what came back could not be compared: {sandbox.describe_error(problem, fn)[0]}"), []


def _structure(spec, fn, seen, expected) -> Failure | None:
    """Crashes, changed arguments, None, types, shapes, dtypes, NaN."""
    for args, got, want in zip(spec.cases(), seen, expected):
        if got.error and not want.error:
            where = f" ({got.line})" if got.line else ""
            text = f"{spec.raising}: {got.error}" if spec.raising else f"your function raised {got.error}"
            return Failure(f"{text}{where}", args, printed=got.printed, tip=error_tip(got.error))
        if got.changed and not want.changed:
            kind = "an argument" if got.changed in sandbox.names_of(spec) else "a switch"
            return Failure(_say(f"{'a tracked argument' if got.tracked else kind} changed", got.changed), args)
        if got.value is None and want.value is not None:
            why = _say("None returned" if returns_something(fn) else "nothing returned")
            return Failure(f"your function returned None. {why}", args, printed=got.printed)
    for args, got, want, found in diagnosis.differences(spec, seen, expected):
        if found.kind == "value":
            continue
        if found.kind == "dtype" and diagnosis.differences(spec, seen, expected)[0][-1].kind != "dtype":
            return None  # the numbers are wrong too
        tip = shape_tip(_parts(seen, expected, found.path)) if found.kind == "shape" else ""
        habit = error_tip(found.message) if found.kind == "type" else ""
        return Failure(found.message + tip, args, got.value, want.value, True, printed=got.printed, tip=habit)
    return None


def _say(kind: str, *what: str) -> str:
    return texts.read("slips")["grades"][kind].format(*what)


def _parts(seen, expected, path) -> list[tuple]:
    """(actual, expected) tensors at a part of the result, in every case."""
    values = [(got.value, want.value) for got, want in zip(seen, expected) if not got.error and not want.error]
    return [tuple(as_tensor(dict(leaves(v)).get(path)) for v in pair) for pair in values]


def _properties(spec, rules: dict[str, str], fn, now) -> Failure | None:
    def yours(*args, **kwargs):
        now[:] = [sandbox.snapshot(args)]
        try:
            return fn(*args, **kwargs)
        except (KeyboardInterrupt, TimeUp):
            raise
        except BaseException as problem:
            error, line = sandbox.describe_error(problem, fn)
            raise Wrong(f"Your function raised {error}" + (f" ({line})" if line else ""), case=now[0]) from problem

    for name, rule in rules.items():
        now.clear()
        try:
            sandbox.reseed()
            spec.check(name)(yours)
        except Wrong as wrong:
            case = wrong.case if wrong.case is not None else now[0] if now else None
            problem = " ".join(part for part in (rule, wrong.message) if part)
            shown = (wrong.got, wrong.want, wrong.got is not None)
            mistake = spec.recognise(yours, wrong.mistake) if spec.recognise else wrong.mistake
            return Failure(problem, case, *shown, mistake, rule=rule, tip=error_tip(wrong.message))
        except Exception as problem:  # the property could not work with what came back
            error = sandbox.describe_error(problem, fn)[0]
            text = f"{rule} This could not be checked with what came back: {error}"
            return Failure(text, now[0] if now else None, rule=rule, tip=error_tip(error))
    return None


def _gradients(spec, seen, expected) -> Failure | None:
    """Wrong gradients of right values; where the value is wrong too, `_values` has more to say."""
    for args, got, want in zip(spec.cases(), seen, expected):
        if got.error or diagnosis.differs(spec, got, want):
            continue
        for name, right in (want.gradients or {}).items():
            mine = (got.gradients or {}).get(name)
            if mine is None:
                text = f"the gradient with respect to {name} cannot be computed"
                text += f": {got.no_gradients}" if got.no_gradients else ""
                return Failure(text, args, tip=error_tip(got.no_gradients))
            if not difference(mine, right, **diagnosis.gradient_tolerance(spec)):
                continue
            why = "no gradient" if not mine.any() else "another gradient" if right.any() else "a gradient of data"
            return Failure(_say("a gradient of NaN" if mine.isnan().any() else why, name), args, mine, right, True)
    return None


def _values(spec, seen, expected) -> Failure | None:
    """Comparison with the reference on every case; where the reference raises, the same type of exception is wanted."""
    for args, got, want in zip(spec.cases(), seen, expected):
        if want.error:
            kind = want.error.split(":")[0]
            if got.error.split(":")[0] == kind:
                continue
            text = f"this must raise {kind}: {want.error.partition(': ')[2]}"
            text += f". Yours raised {got.error}" if got.error else ""
            return Failure(text, args, got.value, None, not got.error, printed=got.printed)
    for args, got, want, found in diagnosis.differences(spec, seen, expected):
        return Failure(found.message, args, got.value, want.value, True, printed=got.printed)
    return None
