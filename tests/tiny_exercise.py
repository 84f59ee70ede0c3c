"""One small exercise, for the tests of the exercise framework."""

import pytest
import torch

from course.check import check, exercise, records
from course.check import index as course
from course.check.spec import Exercise, Mistake, close


def scaled_sum(x, scale):
    """scale * sum of x over the last axis; keeps dtype and gradient."""
    return scale * x.sum(-1)


def _cases():
    g = torch.Generator().manual_seed(1)
    return [
        (torch.tensor([1.0, 2.5]), 0.5),
        (torch.randn(3, 4, generator=g), 0.5),
        (torch.randn(2, 3, generator=g), 2.0),
    ]


def _linear(fn):
    x = torch.tensor([1.0, -3.0])
    close(fn(2 * x, 0.5), 2 * fn(x, 0.5), case=(2 * x, 0.5))


def no_scale(x, scale):
    return x.sum(-1)


SPEC = Exercise(
    id="scaled_sum",
    title="A scaled sum",
    solution=scaled_sum,
    cases=_cases,
    properties={"_linear": "Twice the input gives twice the result."},
    mistakes=[Mistake(no_scale, "The factor `scale` is missing.", "nobody/nowhere issue 1")],
    hints=["first hint", "second hint", "third hint"],
    gradient=True,
)


@pytest.fixture(autouse=True)
def course_of_one(monkeypatch, tmp_path):
    """A course with one exercise, and a fresh progress file."""
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path))
    monkeypatch.setitem(records._state, "memory", None)
    monkeypatch.setitem(records._state, "warned", False)
    monkeypatch.setattr(course, "NOTEBOOKS", {"test": [SPEC.id]})
    put(monkeypatch, SPEC)


def put(monkeypatch, spec):
    """Let the one exercise be this one."""
    monkeypatch.setattr(course, "load", lambda id, language: spec)


def answer(fn):
    return exercise("scaled_sum")(fn)


def told(capsys, fn):
    """What `check` prints about fn; nothing may go to stderr, and the decorated name must work afterwards."""
    decorated = answer(fn)
    assert check(decorated) is None
    out, err = capsys.readouterr()
    assert err == ""
    x = torch.tensor([[1.0, 2.0]])
    assert torch.equal(decorated(x, 3.0), scaled_sum(x, 3.0))
    return out
