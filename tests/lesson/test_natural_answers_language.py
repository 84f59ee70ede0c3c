"""Answers as readers of notebooks 10 to 13 write them: what passes, and what is said to the rest."""

import inspect
import itertools
import linecache
import math
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch

from course.check import grade, sandbox, solution
from course.check.index import find
from course.exercises.nb12_rewards import shape_rewards
from ppo_lesson.objectives import aggregate, clipped_surrogate, value_loss
from ppo_lesson.returns import gae

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
    assert right.count(True) >= 3 or id == "11.fooling_reply", "many texts are right there, by one rule"


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


# ---- no case leaves what the cell above the learner's code promises --------------------------------------------------


def _finite(*tensors):
    return all(bool(x.isfinite().all()) for x in tensors)


def _keys(keys, whole, prices=()):
    return all(isinstance(keys[k], int) and keys[k] >= 1 for k in whole) and all(keys[k] >= 0 for k in prices)


def _divides(keys):
    """All GPUs share the mini-batch, and micro-batches divide each share, both without a rest."""
    replies, each = keys["ppo_mini_batch_size"] * keys["n"], keys["ppo_micro_batch_size_per_gpu"]
    return keys["ppo_mini_batch_size"] % keys["gpus"] == 0 and replies // keys["gpus"] % each == 0


SIZES = ("train_batch_size", "n", "ppo_mini_batch_size")
PROMISED = {
    "10.sample_token": lambda logits, u, temperature: (
        logits.dtype == torch.float32
        and u.dtype == torch.float64
        and len(u) == len(logits)
        and bool(((u >= 0) & (u < 1)).all())
        and temperature > 0
    ),
    "10.token_logps": lambda logits, ids, T, temperature: (
        logits.dtype in (torch.float32, torch.bfloat16)
        and ids.shape == logits.shape[:2]
        and 1 <= T < ids.shape[1]
        and 0 <= ids.min() <= ids.max() < logits.shape[2]
        and temperature > 0
    ),
    "10.draw_mask": lambda ids, P, eos_id, pad_id: 1 <= P < ids.shape[1],
    "11.pairs_from_ranking": lambda order: isinstance(order, list) and len(set(order)) == len(order),
    "11.bradley_terry_loss": lambda chosen, rejected: chosen.shape == rejected.shape and _finite(chosen, rejected),
    "11.last_token_score": lambda numbers, ids, real, eos_id: (
        numbers.shape == ids.shape == real.shape
        and _finite(numbers[real.bool()])
        and all(torch.diff(row.int()).abs().sum() <= 1 + (not row[0] and not row[-1]) for row in real)
        and bool(real.bool().any(-1).all())
    ),
    "11.fooling_reply": lambda: True,
    "11.best_of_n": lambda scores, worth, n: scores.shape == worth.shape and 1 <= n <= scores.shape[1],
    "12.memory_budget": lambda sizes, learners, half: set(learners) <= set(sizes) and isinstance(half, bool),
    "12.shape_rewards": lambda scores, logp, logp_ref, mask, beta: (
        logp.shape == logp_ref.shape == mask.shape
        and len(scores) == len(mask)
        and bool(mask.any(-1).all())
        and _finite(scores, logp[mask], logp_ref[mask])
        and beta >= 0
    ),
    "12.choose_beta": lambda betas, kls, budget: len(betas) == len(kls) and kls.ndim == 2 and _finite(betas),
    "12.ppo_iteration": lambda actor, critic, reference, optimizer, ids, mask, scores, beta, epochs: (
        mask.shape == ids.shape and not mask[:, 0].any() and epochs >= 1 and len(scores) == len(ids)
    ),
    "13.memory_plan": lambda matrices, others, rank: all(len(m) == 2 for m in matrices) and others >= 0 and rank >= 1,
    "13.optimizer_steps": lambda keys: (
        _keys(keys, (*SIZES, "ppo_epochs", "gpus", "ppo_micro_batch_size_per_gpu")) and _divides(keys)
    ),
    "13.group_advantages": lambda scores, group_ids: scores.shape == group_ids.shape and scores.is_floating_point(),
    "13.translate": lambda keys: _keys(keys, SIZES, ("clip_ratio", "kl_coef", "kl_loss_coef")),
}


@pytest.mark.parametrize("id", ANSWERS)
def test_no_case_leaves_what_the_docstring_promises(id):
    """The cases, and what the properties ask the function: both are held against the reader's answer."""
    spec, asked = find(id), []

    def recorded(*case):
        asked.append(case)
        return spec.solution(*case)

    with sandbox.isolated():
        for case in spec.cases():
            assert PROMISED[id](*case), case
        for holds in spec.properties:
            holds(recorded)
    assert asked or not spec.properties
    for case in asked:
        assert PROMISED[id](*case), case
