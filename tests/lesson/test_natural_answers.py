"""What people really write: right answers in other words are accepted, and no wrong one is told a mistake it has not.

natural_answers/NN.toml holds function bodies, written without a look at the hints. `right` is a list of bodies; an
entry of `wrong` is [body, words that the learner must read, words that must not appear ...]. The words "" mean: no
diagnosis at all, as none of ours would be true. Words are looked for in the problem, the diagnosis, the broken rule and
the value, never in the case that is shown.
"""

import inspect
import linecache
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from course.check import catalog, grade, solution
from course.check.index import NOTEBOOKS

pytestmark = pytest.mark.slow  # some hundred answers, half a minute

FILES = sorted((Path(__file__).parent / "natural_answers").glob("*.toml"))
ANSWERS = {id: entry for file in FILES for id, entry in tomllib.loads(file.read_text("utf-8")).items()}
OWN = [id for word in list(NOTEBOOKS)[:11] for id in NOTEBOOKS[word]]  # of the maze and of control: each has answers


def written(id, body, number):
    """A function with the solution's signature and names and this body, whose source can be read as in a notebook."""
    reference = solution(id)
    head = f"def {reference.__name__}({', '.join(inspect.signature(reference).parameters)}):\n"
    source, name = head + textwrap.indent(body.strip("\n"), "    ") + "\n", f"<natural {id} {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = {**reference.__globals__, "torch": torch, "np": np, "F": torch.nn.functional}
    exec(compile(source, name, "exec"), scope)
    return scope[reference.__name__]


def told(result):
    rows = [text for row, text in result.rows if row in ("rule", "yours")]
    return " ".join([result.problem, result.diagnosis, *rows])


@pytest.mark.parametrize(("id", "number"), [(id, n) for id, e in ANSWERS.items() for n in range(len(e["right"]))])
def test_a_right_answer_in_other_words_is_accepted(id, number):
    result = grade(id, written(id, ANSWERS[id]["right"][number], f"right {number}"))
    assert result.status == "ok", result.message


@pytest.mark.parametrize(("id", "number"), [(id, n) for id, e in ANSWERS.items() for n in range(len(e["wrong"]))])
def test_a_wrong_answer_hears_of_its_own_mistake_alone(id, number):
    body, words, *never = ANSWERS[id]["wrong"][number]
    result = grade(id, written(id, body, f"wrong {number}"))
    assert result.status == "wrong"
    assert words in told(result) if words else not result.diagnosis, result.message
    assert not [each for each in never if each in told(result)], result.message


def test_every_exercise_has_natural_answers():
    assert set(OWN) <= set(ANSWERS) <= set(catalog())
    for id in OWN:
        assert len(ANSWERS[id]["right"]) >= 3 and len(ANSWERS[id]["wrong"]) >= 5, id
