"""What a wrong answer is told: one known mistake, two at once, or nothing rather than the wrong thing."""

import numpy as np
import pytest
import torch
from tiny_exercise import SPEC, course_of_one, no_scale, put, scaled_sum  # noqa: F401 (a fixture)

from course.check import grade
from course.check.spec import Exercise, Mistake
from course.edited import edited


def three(x, scale):
    """(sum, scaled sum, largest) of x: (N,) -> three numbers."""
    total = x.sum()
    return total, scale * total, x.max()


def _first(x, scale):
    return x.mean(), scale * x.sum(), x.max()


def _last(x, scale):
    return x.sum(), scale * x.sum(), x.min()


def _second(x, scale):
    return x.sum(), x.sum(), x.max()


def _cases():
    return [(torch.tensor(x), scale) for x, scale in (([1.0, 2.5], 0.5), ([3.0, -4.0, 0.5], 2.0), ([0.25] * 4, 3.0))]


@pytest.fixture
def use(monkeypatch):
    def grader(**changes):
        spec = Exercise(**{**SPEC.__dict__, "gradient": False, "properties": {}, **changes})
        put(monkeypatch, spec)
        return lambda fn: grade(SPEC.id, fn)

    return grader


MISTAKES = [Mistake(_first, "FIRST"), Mistake(_second, "SECOND"), Mistake(_last, "LAST")]


@pytest.mark.parametrize(
    "fn, told",
    [
        (lambda x, scale: (x.mean(), scale * x.sum(), x.max()), "FIRST"),
        (lambda x, scale: (x.mean(), scale * x.sum(), x.min()), "FIRST LAST"),
        (lambda x, scale: (x.mean(), x.sum(), x.min()), "FIRST SECOND LAST"),
        (lambda x, scale: (x.mean(), -scale * x.sum(), x.max()), "FIRST In result[1]: the sign is flipped: "),
        (lambda x, scale: (x.sum() ** 3, scale * x.sum(), x.min()), "LAST"),
        (lambda x, scale: (x.sum() ** 3, scale * x.sum(), x.max() + x[0] ** 2), ""),
    ],
)
def test_each_part_of_a_result_is_told_its_own_mistake(use, fn, told):
    said = use(solution=three, cases=_cases, mistakes=MISTAKES)(fn).diagnosis
    assert said.startswith(told) if told else said == ""


def test_parts_of_a_dict_are_told_their_mistakes_in_any_order(use):
    def named(fn, names=("sum", "scaled", "largest")):
        return lambda x, scale: {k: dict(zip(("sum", "scaled", "largest"), fn(x, scale)))[k] for k in names}

    mistakes = [Mistake(named(m.fn), m.hint) for m in MISTAKES]
    check = use(solution=named(three), cases=_cases, mistakes=mistakes)
    for names in (("sum", "scaled", "largest"), ("largest", "sum", "scaled")):
        assert check(named(lambda x, scale: (x.mean(), scale * x.sum(), x.min()), names)).diagnosis == "FIRST LAST"


def test_a_part_that_fits_two_mistakes_is_told_neither(use):
    twins = [*MISTAKES, Mistake(lambda x, scale: (x.mean(), scale * x.sum(), x.max() + 1), "TWIN")]
    said = use(solution=three, cases=_cases, mistakes=twins)(lambda x, scale: (x.mean(), x.sum(), x.max() + 1))
    own = "In result[0]: this is a mean, and a sum is expected: do not divide by the length of `x`."
    assert said.diagnosis == f"{own} SECOND TWIN"


def test_a_known_mistake_with_another_sign_is_two_slips(use):
    def root(x, scale):
        return (scale * x.square()).sum(-1)

    forgot = Mistake(lambda x, scale: scale * x.sum(-1), "SQUARE")
    check = use(solution=root, mistakes=[forgot])
    assert check(lambda x, scale: -scale * x.sum(-1)).diagnosis.endswith("One is the sign; the other: SQUARE")
    assert check(lambda x, scale: root(x, scale).detach() + 0 * x.sum()).status == "ok"
    gradient = use(solution=root, mistakes=[Mistake(lambda x, scale: -root(x, scale), "MINUS")], gradient=True)
    said = gradient(lambda x, scale: root(x, scale).detach())
    assert "is lost" in said.problem and said.diagnosis == "", "right values have no sign to flip"


def test_two_edits_of_the_solution_are_recognised_together(use):
    def area(x, scale):
        """Half the sum of squares, scaled."""
        return 0.5 * scale * x.square().sum(-1)

    edits = {"HALF": {"0.5 * scale": "scale"}, "SQUARE": {"x.square()": "x.abs()"}, "MEAN": {".sum(-1)": ".mean(-1)"}}
    known = [Mistake(edited(globals_of(area), edit, hint.lower()), hint) for hint, edit in edits.items()]
    said = use(solution=globals_of(area), mistakes=known)(lambda x, scale: scale * x.abs().sum(-1)).diagnosis
    assert said == "Two slips at once. HALF And: SQUARE"
    known = [Mistake(m.fn, m.hint, alone=m.hint == "HALF") for m in known]  # a hint that is false beside another
    said = use(solution=globals_of(area), mistakes=known)(lambda x, scale: scale * x.abs().sum(-1)).diagnosis
    assert said == ""


def test_two_rewritten_lines_explain_nothing_together(use):
    def clipped(x, scale):
        """The sum of x between -scale and scale."""
        low, high = -scale, scale
        return x.clamp(low, high).sum(-1)

    edits = {
        "LOW": {"low, high = -scale, scale": "low, high = x.new_zeros(()), scale * x.new_ones(())"},
        "MEAN": {".sum(": ".mean("},
    }
    known = [Mistake(edited(globals_of(clipped), edit, hint.lower()), hint) for hint, edit in edits.items()]
    both = edited(globals_of(clipped), edits["LOW"] | edits["MEAN"])
    assert use(solution=globals_of(clipped), mistakes=known)(both).diagnosis != "Two slips at once. LOW And: MEAN"
    few = {"LOW": {"-scale, scale": "0.0, scale"}, "MEAN": edits["MEAN"]}
    known = [Mistake(edited(globals_of(clipped), edit, hint.lower()), hint) for hint, edit in few.items()]
    both = edited(globals_of(clipped), few["LOW"] | few["MEAN"])
    assert use(solution=globals_of(clipped), mistakes=known)(both).diagnosis == "Two slips at once. LOW And: MEAN"


def test_where_several_pairs_fit_only_what_they_share_is_said(use):
    def area(x, scale):
        """Half the sum of squares, scaled."""
        return 0.5 * scale * x.square().sum(-1)

    edits = {
        "HALF": {"0.5 * scale": "scale"},
        "SQUARE": {"x.square()": "x.abs()"},
        "SIZE": {".square()": ".pow(2).sqrt()"},
    }
    known = [Mistake(edited(globals_of(area), edit, hint.lower()), hint) for hint, edit in edits.items()]
    said = use(solution=globals_of(area), mistakes=known)(lambda x, scale: scale * x.abs().sum(-1)).diagnosis
    assert said == "More than one slip. One of them: HALF"


def globals_of(fn):
    """`edited` reads a function at the top of a file: the same function, with a source that begins at its `def`."""
    import inspect
    import linecache
    import textwrap

    source = textwrap.dedent(inspect.getsource(fn))
    linecache.cache["<area>"] = (len(source), None, source.splitlines(keepends=True), "<area>")
    scope = {"__name__": "area", "torch": torch}
    exec(compile(source, "<area>", "exec"), scope)
    return scope[fn.__name__]


def test_numbers_of_a_mistake_in_another_dtype_are_that_mistake(use):
    check = use(mistakes=[Mistake(no_scale, "SCALE")])
    assert check(lambda x, scale: x.double().sum(-1)).diagnosis == "SCALE"
    said = check(lambda x, scale: scale * x.double().sum(-1))
    assert "The dtype is float64" in said.problem and said.diagnosis == "", "right numbers are no known mistake"


def _appends(x, scale):
    G = [scale]
    return G.append(x)


def _inside_an_if(x, scale):
    if scale > 100:
        return x


def _nothing(x, scale):
    def inner():
        return x

    inner()


@pytest.mark.parametrize(
    "fn, words", [(_appends, "`append`"), (_inside_an_if, "inside an `if`"), (_nothing, "Is the `return` missing")]
)
def test_none_is_not_always_a_missing_return(use, fn, words):
    problem = use()(fn).problem
    assert "returned None" in problem and words in problem
    assert ("missing" in problem) == (fn is _nothing)


def test_another_error_than_the_one_asked_for_is_shown(use):
    def strict(x, scale):
        """Sum; ValueError for nothing."""
        if not len(x):
            raise ValueError("nothing to add")
        return x.sum()

    check = use(solution=strict, cases=lambda: [(torch.ones(2), 1.0), (torch.ones(0), 1.0)], mistakes=[])
    said = check(lambda x, scale: x.sum() + 0 * x.max())
    assert "This must raise ValueError: nothing to add. Yours raised RuntimeError: max()" in said.problem
    assert "None" not in said.message
    assert ("yours", "tensor(0.0)") in check(lambda x, scale: x.sum()).rows


def test_a_gradient_left_on_an_argument_is_a_change(use):
    def left_on(x, scale):
        return scale * x.requires_grad_().sum(-1)

    said = use(mistakes=[])(left_on).problem
    assert "changed its argument x" in said and "carries a gradient" in said
    assert use(mistakes=[])(lambda x, scale: scale * x.clone().requires_grad_().sum(-1)).status == "ok"


@pytest.mark.parametrize(
    "fn, words",
    [
        (
            lambda x, scale: np.sum(x, axis=-1, keepdims=np.True_) * scale if x.dim() > 9 else np.mean(x) * scale,
            "NumPy met",
        ),
        (lambda x, scale: scale * max(x, 2 * x).sum(-1), "`torch.maximum`"),
        (lambda x, scale: scale * torch.as_tensor(np.sum(np.asarray(x), -1)), "NumPy met a tensor"),
        (lambda x, scale: scale * x.view(7, -1, 11).sum(), "as many places as there are entries"),
        (lambda x, scale: scale * x[torch.tensor([len(x)])].sum(), "the last of N is N - 1"),
    ],
)
def test_errors_of_habit_are_translated(use, fn, words):
    assert words in use(gradient=True, mistakes=[])(fn).diagnosis


HABITS = {  # what the check names: what somebody who knows numpy writes
    "`dim`": lambda x, scale: scale * np.mean(x),
    "`keepdim`": lambda x, scale: scale * x.norm(dim=-1, keepdims=True),
    "`x.double()`": lambda x, scale: scale * x.astype(float).sum(-1),
    "`x.clone()`": lambda x, scale: scale * x.copy().sum(-1),
    "`x.flip(0)`": lambda x, scale: scale * x[::-1].sum(-1),
    "`.values`": lambda x, scale: scale * (x - x.max(-1)).sum(-1),
    "`~flags`": lambda x, scale: (scale * x * (1 - (x > 0))).sum(-1),
    "`x.long()`": lambda x, scale: scale * x[x].sum(-1),
    "`take_along_axis`": lambda x, scale: scale * x.gather(-1, torch.zeros(1, 1, 1, 1).long()).sum(-1),
    "`torch.as_tensor(x)`": lambda x, scale: scale * np.ones(3),
}


@pytest.mark.parametrize("named", HABITS)
def test_a_habit_of_numpy_is_named_and_leads_to_the_page(use, named):
    said = use(mistakes=[])(HABITS[named]).diagnosis
    assert named in said and "docs/numpy.md" in said


def test_an_accused_case_is_called_so(use):
    def fine(x, scale):
        """None for all."""
        return scaled_sum(x, scale)

    def accuses(x, scale):
        raise AssertionError("too large")

    check = use(solution=fine, raising="a healthy batch was accused", mistakes=[])
    assert check(accuses).problem.startswith("A healthy batch was accused: AssertionError: too large (line")
