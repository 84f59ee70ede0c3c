"""Answers of trial readers, written before an exercise's source was opened: what each gets is what its data say.

A file of readers/ is one reader's work on one notebook. An entry: the answer as typed; `right`, whether it passes;
`slip`, in the reader's words what is wrong with it; `hint`, the names of the mistakes whose hints it gets, "" where
only the broken rule is shown, "ok" where it passes.
"""

import itertools
import linecache
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from course.check import grade, solution
from course.check.index import find
from course.exercises.fooling_reply import HATED, LOVED, QUESTION
from course.exercises.shape_rewards import shape_rewards
from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae, whiten

pytestmark = [pytest.mark.slow, pytest.mark.program]  # over a thousand answers

GIVEN = {
    "torch": torch,
    "F": torch.nn.functional,
    "one_hot": torch.nn.functional.one_hot,
    "np": np,
    "math": math,
    "itertools": itertools,
}
GIVEN |= {"HATED": HATED, "LOVED": LOVED, "QUESTION": QUESTION}
GIVEN |= {f.__name__: f for f in (shape_rewards, aggregate, clipped_surrogate, value_loss, gae, whiten)}

FILES = sorted(Path(__file__).with_name("readers").glob("*.toml"))
ANSWERS = [
    (id, i, a) for f in FILES for id, each in tomllib.loads(f.read_text("utf-8")).items() for i, a in enumerate(each)
]


@pytest.mark.parametrize("id, place, answer", [pytest.param(*x, id=f"{x[0]}-{x[1]}") for x in ANSWERS])
def test_a_reader_gets_the_hint_of_the_slip_that_was_made(id, place, answer):
    source, file = answer["answer"].lstrip("\n"), f"<{id} of a reader: {place}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = GIVEN | solution(id).__globals__  # with what its notebook has made before: `kl`, `minibatches` ...
    exec(compile(source, file, "exec"), scope)
    result = grade(id, scope[solution(id).__name__])
    assert (result.status == "ok") == answer["right"], f"{answer['slip']}\n{result.message}"
    read = " ".join(m.fn.__name__ for m in find(id).mistakes if m.hint in result.message)
    assert ("ok" if answer["right"] else read) == answer["hint"], f"{answer['slip']}\n{result.message}"
