"""Exercise 09.assert_healthy: one update of the real trainer; does it fit together? Graded on unseen updates."""

from __future__ import annotations

from functools import cache

import torch

from ..check.spec import Exercise, Mistake, Wrong
from ..clinic.record import collect
from .nb09_ward import NUMBERS, patient


def assert_healthy(batch):
    """AssertionError if this update of PPO does not fit together; None if it does."""
    config, real = batch.config, batch.mask
    last = batch.rewards + config.gamma * batch.next_values * ~batch.terminated  # all that a last step can be worth
    ended = real & (batch.terminated | batch.truncated)
    assert torch.allclose(batch.returns[ended], last[ended]), "targets where episodes end"
    goals = batch.next_observations[batch.terminated]
    assert not torch.isin(batch.observations[real], goals).any(), "a step begins where an episode terminated"
    for step in batch.steps:
        A, ratio = step.weights, torch.exp(step.logp - step.logp_old)
        assert not A.requires_grad, "a gradient can flow into the advantages"
        assert abs(A.mean()) < 1e-6 and abs(A.std() - 1) < 1e-3, "mean and spread of the advantages"
        assert torch.allclose(step.logp_old, batch.logp[real]), "old log-probabilities"
        assert torch.allclose(step.targets, batch.returns[real]), "targets, in every epoch"
        objective = torch.minimum(ratio * A, ratio.clamp(1 - config.eps, 1 + config.eps) * A)
        assert torch.allclose(step.objective, objective), "the objective"
        critic_loss = 0.5 * (step.values - step.targets).square().mean()
        loss = -step.objective.mean() + config.value_coef * critic_loss - config.entropy_coef * step.entropy.mean()
        assert torch.allclose(step.loss, loss), "the loss"
        assert torch.allclose(step.gradient, step.loss_gradient), "the gradient"


@cache
def _collected():
    """Four healthy batches and one of each patient, by number, of seeds that the notebook does not use."""
    healthy = [{"seed": 900, "update": 0}, {"seed": 901}, {"seed": 902, "update": 12}, {"seed": 903, "vector": True}]
    return [collect(**what) for what in healthy], [collect(patient(n), seed=950 + n) for n in _numbers()]


def _numbers():
    return range(1, len(NUMBERS) + 1)


def healthy_cases():
    for mistake in HEALTHY.mistakes:
        _catches(mistake.fn.__name__)  # once, before the clock of a grade runs
    return [(batch.copy(),) for batch in _collected()[0]]


def caught(fn) -> dict[int, bool]:
    """{patient's number: did fn raise AssertionError?}. Other exceptions of fn are not held back."""
    found = {}
    for number, batch in zip(_numbers(), _collected()[1]):
        found[number] = False
        try:
            fn(batch.copy())
        except AssertionError:
            found[number] = True
        except Wrong as wrong:  # a learner's function, which the grader has wrapped
            if not isinstance(wrong.__cause__, AssertionError):
                raise
            found[number] = True
    return found


def _catches_nine(fn):
    """Of twelve sick batches, the check must catch at least nine."""
    for batch in healthy_cases():
        answer = fn(*batch)
        if answer is not None:
            words = "Yours returned something. A sick batch must raise: use `assert`."
            verdict = "_returns_a_verdict" if isinstance(answer, bool) else ""
            raise Wrong(words, case=batch, got=answer, mistake=verdict)
    found = caught(fn)
    if sum(found.values()) >= 9:
        return
    escaped = ", ".join(str(n) for n, is_caught in found.items() if not is_caught)
    known = next((m.fn.__name__ for m in HEALTHY.mistakes if _catches(m.fn.__name__) == found), "")
    first = _collected()[1][min(n for n, is_caught in found.items() if not is_caught) - 1]
    words = f"Yours caught {sum(found.values())}. Escaped: patients {escaped}."
    raise Wrong(words, case=(first.copy(),), mistake=known)


@cache
def _catches(name: str) -> dict[int, bool]:
    return caught(next(m.fn for m in HEALTHY.mistakes if m.fn.__name__ == name))


# ---- wrong answers ---------------------------------------------------------------------------------------------------


def _never(batch):
    for step in batch.steps:
        torch.exp(step.logp - step.logp_old)


def _always(batch):
    raise AssertionError


def _returns_a_verdict(batch):
    try:
        assert_healthy(batch)
    except AssertionError:
        return False
    return True


def _too_exact(batch):
    ended = batch.mask & (batch.terminated | batch.truncated)
    last = batch.rewards + batch.config.gamma * batch.next_values * ~batch.terminated
    assert torch.equal(batch.returns[ended], last[ended])


def _is_it_good(batch):
    assert batch.rewards.mean() > -0.4


def _never_clipped(batch):
    for step in batch.steps:
        assert torch.allclose(torch.exp(step.logp - step.logp_old), torch.ones(1).double()), "the ratio is not 1"


def _tautology(batch):
    real = batch.mask
    assert torch.allclose(batch.returns[real], batch.advantages[real] + batch.values[real])
    for step in batch.steps:
        assert abs(step.weights.std() - 1) < 1e-3


def _known_numbers(batch):
    ended = batch.mask & (batch.terminated | batch.truncated)
    last = batch.rewards + batch.config.gamma * batch.next_values * ~batch.terminated
    assert torch.allclose(batch.returns[ended], last[ended])
    assert not torch.isin(batch.observations[batch.mask], batch.next_observations[batch.terminated]).any()
    first = batch.steps[0]
    assert torch.allclose(first.logp, first.logp_old) and abs(first.weights.std() - 1) < 1e-3


def _trusts_the_parts(batch):
    config = batch.config
    for step in batch.steps:
        critic_loss = 0.5 * (step.values - step.targets).square().mean()
        loss = -step.objective.mean() + config.value_coef * critic_loss - config.entropy_coef * step.entropy.mean()
        assert torch.allclose(step.loss, loss) and torch.allclose(step.gradient, step.loss_gradient)


def _too_wide(batch):
    config, real = batch.config, batch.mask
    ended = real & (batch.terminated | batch.truncated)
    last = batch.rewards + config.gamma * batch.next_values * ~batch.terminated
    assert torch.allclose(batch.returns[ended], last[ended], atol=3.0)
    for step in batch.steps:
        ratio = torch.exp(step.logp - step.logp_old)
        objective = torch.minimum(ratio * step.weights, ratio.clamp(1 - config.eps, 1 + config.eps) * step.weights)
        assert torch.allclose(step.objective, objective, atol=3.0)
        assert torch.allclose(step.targets, batch.returns[real], atol=3.0) and abs(step.weights.std() - 1) < 0.5
        assert torch.allclose(step.logp_old, batch.logp[real], atol=3.0)
        assert torch.allclose(step.gradient, step.loss_gradient, atol=3.0)


HEALTHY = Exercise(
    id="09.assert_healthy",
    title="A check that catches nine of twelve patients",
    solution=assert_healthy,
    cases=healthy_cases,
    properties=[_catches_nine],
    raising="a healthy batch was accused",
    mistakes=[
        Mistake(
            _always,
            "Every healthy batch is accused. A check that always fires says nothing about a batch: print both sides of "
            "your comparison for a healthy one.",
        ),
        Mistake(
            _never,
            "No patient was caught. If nothing is asserted: compute what a number should be, and `assert` that it is. "
            "If something is: it holds for the sick too, as the ratio before the first step does.",
        ),
        Mistake(
            _returns_a_verdict,
            "True and False came back, and nobody reads them: the trainer would go on. `assert condition, message` "
            "stops it.",
        ),
        Mistake(
            _too_exact,
            "Some healthy batches are accused. If you compared with `==` or `torch.equal`, it is of rounding: A + V "
            "- V is not V to the last digit. Use `torch.allclose`.",
        ),
        Mistake(
            _is_it_good,
            "Some healthy batches are accused. If you asked whether the robot does well: healthy robots begin badly, "
            "and most sick ones end well. Ask whether the numbers of one update fit together.",
            "openai/spinningup issue 50: rewards shifted by one, and returns that rose all the same",
        ),
        Mistake(
            _never_clipped, "The ratio is 1 before the first step only. Afterwards the policy has moved, as it should."
        ),
        Mistake(
            _tautology,
            "You see what mean and spread of the weights show, and no more. If you also asserted returns = "
            "advantages + values: that holds for every GAE, right or wrong. Work out what returns should be from "
            "rewards and next_values; where an episode ends that is one line.",
        ),
        Mistake(
            _known_numbers,
            "You see what the four known numbers see: the data, not the loss. Work out objective, loss and gradient of "
            "each step for yourself, and compare.",
        ),
        Mistake(
            _trusts_the_parts,
            "You see whether loss and gradient fit their parts. Are the parts right? Work out the objective from the "
            "ratio, and follow targets and old log-probabilities back to the rollout.",
        ),
        Mistake(
            _too_wide,
            "Those you miss are the ones that walk through wide tolerances, if you gave any. Numbers made twice from "
            "the same float64 agree to about 1e-12; the defaults of `torch.allclose` are wide enough.",
        ),
    ],
    hints=[
        "Take the columns one by one. From which other columns can you work it out? Then `assert torch.allclose(...)`.",
        "Rollout: targets on last steps, no step from a goal. Every step: mean and spread of weights, logp_old as "
        "drawn, targets as in the rollout, objective, loss, gradient.",
        "`last = batch.rewards + batch.config.gamma * batch.next_values * ~batch.terminated` is the target where an "
        "episode ends; `step.gradient` must be `step.loss_gradient`.",
    ],
)
