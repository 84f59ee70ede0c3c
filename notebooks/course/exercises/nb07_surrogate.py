"""Exercise 07.penalized_surrogate: ratio times advantage, minus a price on the exact distance from the old policy."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written


def penalized_surrogate(logits, logits_old, actions, advantages, beta):
    """ratio * A - beta * KL(pi_old || pi), one number for each sample."""
    logp, logp_old = torch.log_softmax(logits, -1), torch.log_softmax(logits_old, -1)  # (..., A)
    kl = (logp_old.exp() * (logp_old - logp)).sum(-1)  # over all actions, weighted by the old policy
    log_ratio = (logp - logp_old).gather(-1, actions[..., None])[..., 0]  # of the action that was taken
    return log_ratio.exp() * advantages - beta * kl


def _random(g, *shape, dtype=torch.float64):
    old = torch.randn(*shape, generator=g, dtype=dtype)
    new = old + 0.7 * torch.randn(*shape, generator=g, dtype=dtype)
    actions = torch.randint(shape[-1], shape[:-1], generator=g)
    return new, old, actions, torch.randn(shape[:-1], generator=g, dtype=dtype)


def _cases():
    g = torch.Generator().manual_seed(7)
    zeros, tilted = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    right, plus = torch.tensor([3]), torch.tensor([1.0], dtype=torch.float64)
    return [
        (zeros, zeros, right, plus, 3.0),
        (tilted, zeros, right, plus, 1.0),
        (tilted, zeros, right, -plus, 1.0),
        (*_random(g, 5, 4), 0.5),
        (*_random(g, 3, 6, 4), 2.0),
        (*_random(g, 4, 3, dtype=torch.float32), 1.0),
    ]


def _free_at_home(fn):
    """At the old policy the ratio is 1 and the distance 0: the objective is A, whatever beta is."""
    logits, _, actions, advantages, _ = _cases()[3]
    case = (logits, logits, actions, advantages, 100.0)
    close(fn(*case), advantages, case=case, atol=1e-6)


def _a_price_can_only_lower(fn):
    """A larger beta never raises the objective, for either sign of A."""
    case = _cases()[3]
    low, high = fn(*case[:4], 0.5), fn(*case[:4], 5.0)
    require((high <= low + 1e-7).all(), case=(*case[:4], 5.0), got=high)


def _first_slope_is_the_policy_gradient(fn):
    """At the old policy the gradient must be that of log pi * A: the ratio has that slope, the price none."""
    logits, _, actions, advantages, beta = _cases()[3]
    at = logits.clone().requires_grad_()
    objective = fn(at, logits, actions, advantages, beta)
    require(objective.requires_grad, "What came back has no gradient; keep `logits` connected.", case=_cases()[3])
    logp = torch.log_softmax(at, -1).gather(-1, actions[..., None])[..., 0]
    truth = torch.autograd.grad((logp * advantages).sum(), at)[0]
    close(torch.autograd.grad(objective.sum(), at)[0], truth, case=_cases()[3], atol=1e-6)


def _parts(logits, logits_old, actions):
    logp, logp_old = torch.log_softmax(logits, -1), torch.log_softmax(logits_old, -1)
    log_ratio = (logp - logp_old).gather(-1, actions[..., None])[..., 0]
    return logp, logp_old, log_ratio, (logp_old.exp() * (logp_old - logp)).sum(-1)


def _pays_for_distance(logits, logits_old, actions, advantages, beta):
    return penalized_surrogate(logits, logits_old, actions, advantages, -beta)


def _a_loss(logits, logits_old, actions, advantages, beta):
    return -penalized_surrogate(logits, logits_old, actions, advantages, beta)


def _half_a_loss(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return -log_ratio.exp() * advantages - beta * kl


def _reversed(logits, logits_old, actions, advantages, beta):
    logp, logp_old, log_ratio, _ = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * (logp.exp() * (logp - logp_old)).sum(-1)


def _inside_the_advantage(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return log_ratio.exp() * (advantages - beta * kl)


def _inside_the_ratio(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return (log_ratio - beta * kl).exp() * advantages


def _sampled(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, _ = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages + beta * log_ratio


def _sampled_upside_down(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, _ = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * log_ratio


def _upside_down(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return (-log_ratio).exp() * advantages - beta * kl


def _raw_logits(logits, logits_old, actions, advantages, beta):
    log_ratio = (logits - logits_old).gather(-1, actions[..., None])[..., 0]
    kl = (torch.softmax(logits_old, -1) * (logits_old - logits)).sum(-1)
    return log_ratio.exp() * advantages - beta * kl


def _mean_over_actions(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * kl / logits.shape[-1]


def _one_kl_for_all(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * kl.mean()


def _times_the_advantage(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return (log_ratio.exp() - beta * kl) * advantages


def _unweighted(logits, logits_old, actions, advantages, beta):
    logp, logp_old, log_ratio, _ = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * (logp_old - logp).mean(-1)


def _detached(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return log_ratio.exp() * advantages - beta * kl.detach()


def _no_exp(logits, logits_old, actions, advantages, beta):
    *_, log_ratio, kl = _parts(logits, logits_old, actions)
    return log_ratio * advantages - beta * kl


SURROGATE = Exercise(
    id="07.penalized_surrogate",
    title="The penalised surrogate",
    solution=penalized_surrogate,
    cases=_cases,
    properties=[_free_at_home, _a_price_can_only_lower, _first_slope_is_the_policy_gradient],
    gradient=("logits",),
    atol=1e-6,
    mistakes=[
        Mistake(_pays_for_distance, "The price has the wrong sign: distance is rewarded. Subtract beta * KL."),
        Mistake(
            _a_loss,
            "This is the loss. Return the objective, which goes up; the training loop adds the one minus.",
            "natolambert/rlhf-book issue 125",
        ),
        Mistake(
            _half_a_loss,
            "The first part is a loss and the second belongs to an objective. A loss is minus the WHOLE objective: "
            "-ratio * A + beta * KL. Here you want the objective.",
            "a popular tutorial on PPO",
        ),
        Mistake(
            _reversed, "That is KL(pi || pi_old). The paper has the old policy first: its probabilities weigh the sum."
        ),
        Mistake(
            _inside_the_advantage,
            "The price is multiplied by the ratio too. Keep it outside: ratio * A, and then minus beta * KL.",
        ),
        Mistake(
            _times_the_advantage,
            "The price is multiplied by A, so for A < 0 distance is rewarded. A belongs to the ratio alone.",
        ),
        Mistake(_inside_the_ratio, "The price went into the exponent. exp belongs to the log-ratio alone."),
        Mistake(
            _sampled,
            "You took log pi_old - log pi at the action alone. That is right on average and noisy. With four actions "
            "no sample is needed: sum over all of them, weighted by pi_old.",
        ),
        Mistake(
            _sampled_upside_down,
            "log pi - log pi_old at actions of the OLD policy has the mean -KL, so distance is rewarded. And with all "
            "logits at hand no sample is needed.",
            "natolambert/rlhf-book issue 489, for the upside-down ratio",
        ),
        Mistake(_upside_down, "The ratio is upside down. New over old: `logp - logp_old` inside the exp."),
        Mistake(_raw_logits, "Logits are not log-probabilities: `log_softmax` first, for the ratio and for the KL."),
        Mistake(_mean_over_actions, "Sum over the actions; the probabilities in front make it a mean already."),
        Mistake(_one_kl_for_all, "You averaged the KL over the batch. One KL for each sample, that of its own square."),
        Mistake(_unweighted, "You averaged over the actions as if all were equally likely. Weigh them by pi_old."),
        Mistake(_detached, "The value is right, but the KL was detached: a price without a slope holds nobody back."),
        Mistake(_no_exp, "The ratio is exp(log pi - log pi_old); the exp is missing, so at home it is 0 and not 1."),
        *written(penalized_surrogate),
    ],
    hints=[
        "Two parts: ratio * A at the action that was taken, and the distance, which is a sum over all actions.",
        "KL(old || new) = sum over a of pi_old(a) * (log pi_old(a) - log pi(a)). The first argument gives the weights.",
        "`log_ratio = (logp - logp_old).gather(-1, actions[..., None])[..., 0]`, then "
        "`log_ratio.exp() * advantages - beta * kl`.",
    ],
)
