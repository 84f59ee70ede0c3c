"""The verdicts of `check`, the hints that open one after the other, and a real kernel."""

import re
import subprocess
import sys
import textwrap

import nbclient
import nbformat
import pytest
import torch
from tiny_exercise import SPEC, answer, course_of_one, no_scale, put, scaled_sum, told  # noqa: F401 (a fixture)

from course.check import grade, hint, show_solution
from course.check.spec import Exercise, require

# ---- the three verdicts ------------------------------------------------------


def test_right_answer_is_used_from_then_on(capsys):
    calls = []

    def mine(x, scale):
        calls.append(1)
        return (x * scale).sum(dim=-1)

    said = told(capsys, mine).splitlines()
    assert said[0] == "✓ scaled_sum: right. From here on, your function is used."
    numbers = re.fullmatch(
        r"Each dot is a number from your function: 6 of them, at most (\S+) from the reference.", said[1]
    )
    assert float(numbers[1]) < 1e-6 and len(said) == 2, "and the number that was earned"
    before = len(calls)
    decorated = answer(mine)
    decorated(torch.ones(2), 1.0)  # graded silently at the first call
    assert capsys.readouterr().out == "" and len(calls) > before + 1
    before = len(calls)
    decorated(torch.ones(2), 1.0)
    assert len(calls) == before + 1, "graded once, and the learner's own function answers"


def test_not_attempted(capsys):
    def stub(x, scale):
        """Docstring."""
        ...  # your code, about 1 line

    assert told(capsys, stub) == "○ scaled_sum: not attempted, using the reference below.\n"


def test_stub_without_source_is_found_by_calling():
    for body in ("...", "pass", "raise NotImplementedError", "raise NotImplementedError('write me')"):
        scope = {}
        exec(f"def f(x, scale):\n    {body}", scope)
        assert grade("scaled_sum", scope["f"]).status == "todo"
    exec("def f(x, scale):\n    return x", scope)
    assert grade("scaled_sum", scope["f"]).status == "wrong"


def test_known_mistake_gets_its_hint_and_its_source(capsys):
    def mine(x, scale):
        total = torch.zeros(x.shape[:-1])
        for i in range(x.shape[-1]):
            total = total + x[..., i]
        return total

    out = told(capsys, mine)
    assert "The factor `scale` is missing." in out and "in the wild: nobody/nowhere issue 1." in out
    assert "case      x = tensor([1.0, 2.5]), scale = 0.5" in out
    assert "yours     tensor(3.5)" in out and "expected  tensor(1.75)" in out


def test_property_is_quoted_when_it_fails(capsys):
    out = told(capsys, lambda x, scale: scale * x.sum(-1) + 1)
    assert "rule      also broken: Twice the input gives twice the result." in out
    assert "Every value is the expected one plus 1." in out


def test_headline_is_about_the_case_that_is_shown(capsys):
    first = told(capsys, lambda x, scale: scale * x.sum(-1) + 1).splitlines()[0]
    assert "The value is 2.75; expected 1.75." in first and "Twice" not in first


def test_calls_are_graded_silently_and_wrong_ones_fall_back():
    wrong = answer(no_scale)
    assert wrong(torch.ones(2), 3.0).item() == 6.0
    assert repr(wrong) == "<exercise scaled_sum: not right yet, the reference answers>"


def test_a_property_may_name_the_mistake(monkeypatch):
    def by_sampling(fn):
        require(fn(torch.ones(2), 2.0) == 4.0, mistake="no_scale")

    spec = Exercise(**{**SPEC.__dict__, "suite": [by_sampling], "properties": {"by_sampling": "A rule that knows."}})
    put(monkeypatch, spec)
    message = grade("scaled_sum", lambda x, scale: x.sum(-1) * 1.234).message
    assert "A rule that knows." in message and "The factor `scale` is missing." in message


def test_exercise_that_must_raise(monkeypatch):
    def solution(x, scale):
        """Sum of x; ValueError if x is empty."""
        if not len(x):
            raise ValueError("x is empty")
        return scale * x.sum()

    cases = lambda: [(torch.ones(2), 1.0), (torch.ones(0), 1.0)]  # noqa: E731
    spec = Exercise(id=SPEC.id, title="t", solution=solution, cases=cases, mistakes=[], hints=[])
    put(monkeypatch, spec)
    said = grade(SPEC.id, lambda x, scale: scale * x.sum()).message
    assert "This must raise ValueError: x is empty." in said and "tensor([])" in said

    def mine(x, scale):
        if x.numel() == 0:
            raise ValueError("nothing to add up")
        return scale * x.sum()

    assert grade(SPEC.id, mine).status == "ok"


def test_messages_are_deterministic():
    messages = {grade("scaled_sum", textwrap_function()).message for _ in range(3)}
    assert len(messages) == 1


def textwrap_function():
    scope = {"torch": torch}
    exec(textwrap.dedent("def f(x, scale):\n    return torch.randn(x.shape[:-1])"), scope)
    return scope["f"]


# ---- hints open with attempts ------------------------------------------------


def wrong(n):
    """The n-th of many different wrong answers."""
    scope = {}
    exec(f"def f(x, scale):\n    return x.sum(-1) * {n}.7", scope)
    return scope["f"]


def test_hints_open_one_after_the_other(capsys):
    outs = [told(capsys, wrong(n)) for n in range(1, 6)]
    assert ["first hint" in o for o in outs] == [True] * 5
    assert ["second hint" in o for o in outs] == [False, True, True, True, True]
    assert ["third hint" in o for o in outs] == [False, False, True, True, True]
    assert "Hint 2 opens after 1 more try, the solution after 3" in outs[0]
    assert "The solution opens after 1 more try" in outs[2]
    assert "The solution is open" in outs[3]


def test_same_answer_again_is_not_a_new_attempt(capsys):
    def mine(x, scale):
        return x.sum(-1) * 7

    first = told(capsys, mine)

    def mine(x, scale):  # the same code with a comment
        """And a docstring."""
        return x.sum(-1) * 7

    assert told(capsys, mine) == first


def test_hint_and_solution_on_request(capsys):
    hint("scaled_sum")
    assert capsys.readouterr().out == "Hint 1 of 3: first hint\n"
    hint("scaled_sum")
    assert "second hint" in capsys.readouterr().out
    assert "second hint" in told(capsys, wrong(1)), "a hint that was asked for stays open"
    show_solution("scaled_sum")
    assert "return scale * x.sum(-1)" in capsys.readouterr().out


# ---- a real kernel -----------------------------------------------------------


@pytest.mark.slow
def test_import_of_the_exercises_is_light():
    code = "import sys, course.check; assert not {'transformers', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_cells_of_a_notebook():
    """In a kernel: the stub is found in the cell's source, output is HTML with plain text, nothing on stderr."""
    head = '@exercise("hello")\ndef ppo_objective(before, now, advantage):\n    '
    cells = [
        "from course.check import exercise, check, predict, reveal, quiz, progress",
        head + '"""Doc."""\n    ...\ncheck(ppo_objective)',
        head + "x = 1\n    return now.total\ncheck(ppo_objective)",
        head + "while True:\n        pass\ncheck(ppo_objective)",
        'print(ppo_objective(0.5, 0.5, 3.0))\npredict("moves", ["about 12", "about 60"], "How many?")',
        'reveal("moves")\nquiz("start")\nprogress()',
        head + "r = now / before\n    c = min(max(r, 0.8), 1.2)\n    return min(r * advantage, c * advantage)\n"
        "check(ppo_objective)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    outputs = [c.outputs for c in book.cells]
    assert not [o for out in outputs for o in out if o.output_type == "stream" and o.name == "stderr"]
    bundles = [[o.data for o in out if o.output_type == "display_data"] for out in outputs]
    assert bundles[1][0]["text/plain"] == "○ hello: not attempted, using the reference below."
    assert (
        "raised AttributeError: 'float' object has no attribute 'total' (line 4: `return now.total`)"
        in bundles[2][0]["text/plain"]
    )
    assert "did not finish within 1 second" in bundles[3][0]["text/plain"]
    assert outputs[4][0].text == "3.0\n"
    for bundle in [bundles[4][0], bundles[5][0], bundles[5][1]]:
        assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} == set(bundle)
    assert all(set(b) == {"text/plain", "text/html"} for b in [*bundles[1], *bundles[2], bundles[5][2]])
    assert "<summary>Show the answer</summary>" in bundles[5][0]["text/html"], "a run of all cells opens no answer"
    assert "none of 1 made" in bundles[5][2]["text/plain"]
    right, picture, alt, number = bundles[6]
    assert (
        right["text/plain"].startswith("✓ hello: right.") and "image/png" in picture and "In words" in alt["text/html"]
    )
    assert "at most 1.20 for it" in number["text/plain"] and "at most 1.20 for it" in number["text/html"]
