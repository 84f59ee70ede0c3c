"""Exercises 05.surrogate and 05.kl: what old data says about a new policy, and how far apart the two are."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written


def draw(seed, *shape, dtype=torch.float64):
    """Normal numbers, the same at every call with this seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ---- 05.surrogate ------------------------------------------------------------


def surrogate(logp, logp_old, advantages):
    """ratio * advantage, step by step; only logp carries a gradient. (...), (...), (...) -> (...)."""
    ratio = torch.exp(logp - logp_old.detach())  # pi(a|s) / pi_old(a|s)
    return ratio * advantages.detach()


def _surrogate_cases():
    one = tuple(torch.tensor([x], dtype=torch.float64) for x in (-0.7, -1.4, 2.0))
    equal = -draw(0, 3).abs(), -draw(0, 3).abs(), draw(1, 3)  # logp = logp_old: every ratio is 1
    apart = -draw(2, 2, 4).abs(), -draw(3, 2, 4).abs(), draw(4, 2, 4)
    single = *(-draw(seed, 5, dtype=torch.float32).abs() for seed in (5, 6)), draw(7, 5, dtype=torch.float32)
    return [one, equal, apart, single]


def _value_at_old(fn):
    """At the old policy every ratio is 1, so the surrogate must be the advantage."""
    logp, same, advantages = _surrogate_cases()[1]
    close(fn(logp, same, advantages), advantages, case=(logp, same, advantages))


def _asks_the_new_policy(fn):
    """Averaged over what the OLD policy does, it must be the NEW policy's average advantage."""
    old, new, advantages = torch.log_softmax(draw(8, 4), -1), torch.log_softmax(draw(9, 4), -1), draw(10, 4)
    mean = (old.exp() * fn(new, old, advantages)).sum()
    close(mean, (new.exp() * advantages).sum(), case=(new, old, advantages))


def _old_over_new(logp, logp_old, advantages):
    return torch.exp(logp_old.detach() - logp) * advantages.detach()


def _no_exp(logp, logp_old, advantages):
    return (logp - logp_old.detach()) * advantages.detach()


def _quotient_of_logs(logp, logp_old, advantages):
    return logp / logp_old.detach() * advantages.detach()


def _ratio_alone(logp, logp_old, advantages):
    return torch.exp(logp - logp_old.detach())


def _policy_gradient(logp, logp_old, advantages):
    return logp * advantages.detach()


def _old_follows_new(logp, logp_old, advantages):
    return torch.exp(logp - logp) * advantages.detach()


def _ratio_is_frozen(logp, logp_old, advantages):
    return torch.exp(logp - logp_old).detach() * advantages.detach()


def _gradient_into_old(logp, logp_old, advantages):
    return torch.exp(logp - logp_old) * advantages.detach()


def _averaged(logp, logp_old, advantages):
    return surrogate(logp, logp_old, advantages).mean()


SURROGATE = Exercise(
    id="05.surrogate",
    title="What old data says about a new policy",
    solution=surrogate,
    cases=_surrogate_cases,
    properties=[_value_at_old, _asks_the_new_policy],
    gradient=True,
    mistakes=[
        Mistake(
            _old_over_new,
            "The ratio is upside down: it is new over old, `logp - logp_old` inside the exp. What the new policy does "
            "more often than the old one must count more.",
            "asked in openai/baselines issue 652, where minus signs hide which is which",
        ),
        Mistake(
            _no_exp,
            "This is the log of the ratio times A: zero at the old policy, where the ratio is 1. Take exp of the "
            "difference of the logs.",
        ),
        Mistake(_quotient_of_logs, "A quotient of logs is not the log of a quotient. Subtract the logs, then exp."),
        Mistake(_ratio_alone, "The advantage is missing: this rewards doing anything more often, good or bad."),
        Mistake(
            _policy_gradient,
            "This is the objective of notebook 02. Its slope is right at the old policy, but its value means nothing. "
            "Use the ratio instead of the log.",
        ),
        Mistake(
            _old_follows_new,
            "The advantage comes back: the ratio is missing, or always 1. If you divided by the new probabilities: the "
            "old ones are those that were stored with the walks.",
            "tensorforce/tensorforce issue 312",
        ),
        Mistake(
            _ratio_is_frozen,
            "The value is right and the gradient is gone: the ratio must stay attached to `logp`. Detach `logp_old` "
            "and `advantages` only.",
        ),
        Mistake(
            _gradient_into_old,
            "A gradient flows into `logp_old`. The old policy is data: `logp_old.detach()`. If both come from the same "
            "network, the two gradients cancel and nothing is learned.",
        ),
        Mistake(_averaged, "One number for each step is wanted; the mean comes later."),
        *written(surrogate),
    ],
    hints=[
        "The ratio of two probabilities is exp of the difference of their logs.",
        "ratio = exp(logp - logp_old), new minus old. Multiply it with the advantages.",
        "`torch.exp(logp - logp_old.detach()) * advantages.detach()`",
    ],
)


# ---- 05.kl -------------------------------------------------------------------


def kl(logits_old, logits_new):
    """KL(old || new) of two softmax policies, square by square, in nats. (..., A), (..., A) -> (...)."""
    logp_old, logp_new = torch.log_softmax(logits_old, -1), torch.log_softmax(logits_new, -1)
    return (logp_old.exp() * (logp_old - logp_new)).sum(-1)


def _kl_cases():
    two = torch.tensor([0.0, 0.0], dtype=torch.float64), torch.tensor([2.0, 0.0], dtype=torch.float64)
    rare = torch.tensor([[4.0, 0.0, 0.0, 0.0]], dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    return [two, rare, (draw(11, 3, 4), draw(12, 3, 4)), (draw(13, 2, 3, 5), draw(14, 2, 3, 5))]


def _zero_when_equal(fn):
    """Two equal policies are zero apart, also when all their logits differ by the same number."""
    logits = draw(15, 3, 4)
    close(fn(logits, logits + 2.0), torch.zeros(3), case=(logits, logits + 2.0), atol=1e-9)


def _never_negative(fn):
    """A distance must not be negative."""
    old, new = draw(16, 50, 4), draw(17, 50, 4)
    got = fn(old, new)
    require((got >= -1e-12).all(), case=(old, new), got=got)


def _the_first_one_weighs(fn):
    """What the old policy never does must not count, however often the new one does it."""
    old, new = torch.tensor([0.0, 0.0, -200.0]).double(), torch.tensor([0.0, 0.0, 0.0]).double()
    close(fn(old, new), torch.tensor(1.5).double().log(), case=(old, new), atol=1e-6)


def _reversed(logits_old, logits_new):
    return kl(logits_new, logits_old)


def _no_log(logits_old, logits_new):
    old, new = torch.softmax(logits_old, -1), torch.softmax(logits_new, -1)
    return (old * (old - new)).sum(-1)


def _cross_entropy(logits_old, logits_new):
    return -(torch.softmax(logits_old, -1) * torch.log_softmax(logits_new, -1)).sum(-1)


def _mean_over_actions(logits_old, logits_new):
    return kl(logits_old, logits_new) / logits_old.shape[-1]


def _without_weights(logits_old, logits_new):
    return (torch.log_softmax(logits_old, -1) - torch.log_softmax(logits_new, -1)).sum(-1)


def _logits_for_logs(logits_old, logits_new):
    return (torch.softmax(logits_old, -1) * (logits_old - logits_new)).sum(-1)


def _sum_over_squares(logits_old, logits_new):
    return kl(logits_old, logits_new).sum()


def _flipped(logits_old, logits_new):
    return -kl(logits_old, logits_new)


KL = Exercise(
    id="05.kl",
    title="The distance between two policies",
    solution=kl,
    cases=_kl_cases,
    properties=[_zero_when_equal, _never_negative, _the_first_one_weighs],
    gradient=("logits_new",),
    mistakes=[
        Mistake(
            _reversed,
            "This is KL(new || old). The data was collected by the old policy, so the old policy weighs the actions: "
            "its probabilities stand in front.",
            "openai/spinningup issue 264, tensorforce/tensorforce issue 107",
        ),
        Mistake(
            _no_log, "You took the difference of the probabilities. KL takes the difference of their logs: log_softmax."
        ),
        Mistake(
            _cross_entropy,
            "This is the cross-entropy: it is not zero for two equal policies. The old policy's own log belongs in it: "
            "log old minus log new.",
        ),
        Mistake(
            _mean_over_actions,
            "The probabilities in front make an average already: sum over the actions, do not divide by their number.",
        ),
        Mistake(_without_weights, "Each difference of logs must be weighed with the old policy's probability."),
        Mistake(
            _logits_for_logs,
            "Logits are not log-probabilities: add 2 to all logits of a square and the policy is the same, but your "
            "number is not. Use log_softmax.",
        ),
        Mistake(_sum_over_squares, "One number for each square is wanted: sum over the last axis only."),
        Mistake(_flipped, "The sign is flipped: log old MINUS log new."),
        *written(kl),
    ],
    hints=[
        "Two log-softmaxes, their difference, weighed with one policy's probabilities, summed over the actions.",
        "The old policy comes first: its probabilities weigh, and its log stands in front of the minus sign.",
        "`(logp_old.exp() * (logp_old - logp_new)).sum(-1)`",
    ],
)
