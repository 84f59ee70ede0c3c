"""Answers as readers of notebooks 11 to 16 write them: what passes, and what is said to the rest."""

import inspect
import itertools
import linecache
import math
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch
from test_promises import calls

from course.check import grade, sandbox, solution
from course.check.index import find
from course.exercises.shape_rewards import shape_rewards
from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae

pytestmark = pytest.mark.slow  # some hundred answers, half a minute

ANSWERS = tomllib.loads(Path(__file__).with_name("natural_answers_language.toml").read_text("utf-8"))
GIVEN = {"torch": torch, "F": torch.nn.functional, "math": math, "itertools": itertools, "gae": gae}
GIVEN |= {f.__name__: f for f in (shape_rewards, aggregate, clipped_surrogate, value_loss)}


def function(id, answer):
    """The answer as a function with a source that can be read, as in a notebook."""
    code = answer.get("code") or ANSWERS[id][0]["code"]
    for old, new in answer.get("edits", []):
        assert code.count(old) == 1, f"{answer['name']}: {old!r} stands {code.count(old)} times in the code"
        code = code.replace(old, new)
    reference, file = solution(id), f"<{id}: {answer['name']}>"
    head = f"def {reference.__name__}({', '.join(inspect.signature(reference).parameters)}):\n"
    source = head + textwrap.indent(code.strip("\n"), "    ") + "\n"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = dict(GIVEN)
    exec(compile(source, file, "exec"), scope)
    return scope[reference.__name__]


@pytest.mark.parametrize("id", ANSWERS)
def test_every_exercise_has_enough_answers(id):
    right = [bool(a.get("right")) for a in ANSWERS[id]]
    assert right.count(False) >= 6 and len({a["name"] for a in ANSWERS[id]}) == len(right)
    assert right.count(True) >= 3 or id == "fooling_reply", "many texts are right there, by one rule"


@pytest.mark.parametrize(
    "id, answer", [pytest.param(id, a, id=f"{id}-{a['name']}") for id, answers in ANSWERS.items() for a in answers]
)
def test_natural_answer(id, answer):
    result = grade(id, function(id, answer))
    assert result.status == ("ok" if answer.get("right") else "wrong"), result.message
    read = {m.fn.__name__ for m in find(id).mistakes if m.hint in result.message}
    hint, may = set(answer.get("hint", [])), set(answer.get("may", []))
    assert hint <= read <= hint | may, f"hints for {sorted(read)}, wanted {sorted(hint)}:\n{result.message}"
    assert all(words in result.message for words in answer.get("says", []))
    assert not any(words in result.message for words in answer.get("never", []))


@pytest.mark.parametrize("id", ANSWERS)
def test_no_mistake_fails_for_a_name_that_its_module_lacks(id):
    """Such a mistake is wrong too, gets its hint, and can never be recognised in what a reader writes."""
    spec = find(id)
    for mistake in spec.mistakes:
        for case in spec.cases():
            seen = sandbox.observe(mistake.fn, case, sandbox.names_of(spec))
            assert "NameError" not in seen.error, f"{mistake.fn.__name__}: {seen.error}"


def one_stretch(numbers, ids, real, eos_id):
    """Padding stands left, right or on both sides of a text, never inside."""
    edges = torch.nn.functional.pad(real.int(), (1, 1)).diff(dim=-1)
    return bool(((edges == 1).sum(-1) == 1).all())


def divides(keys):
    """All GPUs share the mini-batch, and micro-batches divide each share: without a rest, or verl refuses."""
    mini, gpus = keys["ppo_mini_batch_size"], keys["gpus"]
    return mini % gpus == 0 and mini * keys["n"] // gpus % keys["ppo_micro_batch_size_per_gpu"] == 0


@pytest.mark.parametrize("id, holds", [("last_token_score", one_stretch), ("optimizer_steps", divides)])
def test_what_a_stub_says_in_a_sentence_holds_in_every_call_of_a_check(id, holds):
    """Kinds, shapes and ranges of all exercises: test_promises.py."""
    for place, case in calls(find(id)):
        assert holds(*case), f"{place}: {case}"
