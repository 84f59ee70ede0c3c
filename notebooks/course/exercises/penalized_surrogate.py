"""penalized_surrogate: ratio * A minus the price of the distance."""

import torch

from ..check import Exercise, close, require, rows


def penalized_surrogate(logits, logits_old, actions, advantages, beta):
    """ratio * A - beta * KL(pi_old || pi), one number for each sample."""
    logp, logp_old = torch.log_softmax(logits, -1), torch.log_softmax(logits_old, -1)  # (..., A)
    kl = (logp_old.exp() * (logp_old - logp)).sum(-1)  # over all actions, weighted by the old policy
    log_ratio = (logp - logp_old).gather(-1, actions[..., None])[..., 0]  # of the action that was taken
    return log_ratio.exp() * advantages - beta * kl


def _random(g, shape, beta, dtype=torch.float64):
    old = torch.randn(*shape, generator=g, dtype=dtype)
    new = old + 0.7 * torch.randn(*shape, generator=g, dtype=dtype)
    actions = torch.randint(shape[-1], shape[:-1], generator=g)
    return new, old, actions, torch.randn(shape[:-1], generator=g, dtype=dtype), beta


cases = rows("penalized_surrogate", _random)


def free_at_home(fn):
    logits, _, actions, advantages, _ = cases()[3]
    close(fn(logits, logits, actions, advantages, 100.0), advantages, atol=1e-6)


def a_price_can_only_lower(fn):
    case = cases()[3]
    low, high = fn(*case[:4], 0.5), fn(*case[:4], 5.0)
    require((high <= low + 1e-7).all(), case=(*case[:4], 5.0), got=high)


def first_slope_is_the_policy_gradient(fn):
    logits, _, actions, advantages, beta = cases()[3]
    at = logits.clone().requires_grad_()
    objective = fn(at, logits, actions, advantages, beta)
    require(objective.requires_grad, "What came back has no gradient; keep `logits` connected.", case=cases()[3])
    logp = torch.log_softmax(at, -1).gather(-1, actions[..., None])[..., 0]
    truth = torch.autograd.grad((logp * advantages).sum(), at)[0]
    close(torch.autograd.grad(objective.sum(), at)[0], truth, case=cases()[3], atol=1e-6)


EXERCISE = Exercise(solution=penalized_surrogate, cases=cases, gradient=("logits",), atol=1e-6)
