"""assert_healthy: a check that catches nine of twelve patients."""

from __future__ import annotations

from functools import cache

import torch

from ..check import Exercise, Wrong
from ..check.texts import of_exercise
from ..clinic.numbered import NUMBERS, patient
from ..clinic.record import collect


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


def cases():
    _known_catches()  # once, before the clock of a grade runs
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


def catches_nine(fn):
    for batch in cases():
        answer = fn(*batch)
        if answer is not None:
            words = "Yours returned something. A sick batch must raise: use `assert`."
            verdict = "returns_a_verdict" if isinstance(answer, bool) else ""
            raise Wrong(words, case=batch, got=answer, mistake=verdict)
    found = caught(fn)
    if sum(found.values()) >= 9:
        return
    escaped = ", ".join(str(n) for n, is_caught in found.items() if not is_caught)
    known = next((name for name, catches in _known_catches().items() if catches == found), "")
    first = _collected()[1][min(n for n, is_caught in found.items() if not is_caught) - 1]
    words = f"Yours caught {sum(found.values())}. Escaped: patients {escaped}."
    raise Wrong(words, case=(first.copy(),), mistake=known)


@cache
def _known_catches() -> dict[str, dict[int, bool]]:
    """{mistake: whom it catches}."""
    mistakes = of_exercise("assert_healthy", assert_healthy)["mistakes"]
    return {mistake.fn.__name__: caught(mistake.fn) for mistake in mistakes}


EXERCISE = Exercise(solution=assert_healthy, cases=cases)
