"""Exercise 07.kl_estimates: three ways to guess a KL from the log-probabilities of what was drawn."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written


def kl_estimates(logp, logp_ref):
    """(k1, k2, k3) for actions drawn from pi: each guesses KL(pi || pi_ref), one number for each sample."""
    d = logp - logp_ref
    return d, d**2 / 2, torch.exp(-d) - 1 + d


def _cases():
    g = torch.Generator().manual_seed(8)
    one = torch.tensor([0.5], dtype=torch.float64).log(), torch.tensor([0.25], dtype=torch.float64).log()
    random = [
        (-torch.rand(*s, generator=g, dtype=t) - 0.1, -2 * torch.rand(*s, generator=g, dtype=t) - 0.1)
        for s, t in (((6,), torch.float64), ((3, 5), torch.float64), ((4,), torch.float32))
    ]
    return [one, one[::-1], *random]


def _two_policies():
    g = torch.Generator().manual_seed(3)
    p, q = torch.log_softmax(0.7 * torch.randn(2, 8, generator=g, dtype=torch.float64), -1)
    return p, q, (p.exp() * (p - q)).sum()


def _zero_for_equal(fn):
    """For equal policies all three are zero."""
    p, *_ = _two_policies()
    close(fn(p, p), tuple(torch.zeros(3, 8)), case=(p, p))


def _k1_is_unbiased(fn):
    """Averaged over all actions with the probabilities of pi, k1 is exactly KL(pi || pi_ref)."""
    p, q, kl = _two_policies()
    close((p.exp() * fn(p, q)[0]).sum(), kl, case=(p, q))


def _k3_is_unbiased(fn):
    """Averaged over all actions with the probabilities of pi, k3 is exactly KL(pi || pi_ref)."""
    p, q, kl = _two_policies()
    close((p.exp() * fn(p, q)[2]).sum(), kl, case=(p, q))


def _not_negative(fn):
    """k2 and k3 are never negative, whatever is drawn."""
    p, q, _ = _two_policies()
    require((torch.stack(fn(p, q)[1:]) >= 0).all(), case=(p, q), got=fn(p, q))


def _negative_k1(logp, logp_ref):
    _, k2, k3 = kl_estimates(logp, logp_ref)
    return logp_ref - logp, k2, k3


def _upside_down_k3(logp, logp_ref):
    d = logp - logp_ref
    return d, d**2 / 2, torch.exp(d) - 1 - d


def _detached(logp, logp_ref):
    return kl_estimates(logp.detach(), logp_ref)


def _both(logp, logp_ref):
    return kl_estimates(logp_ref, logp)


def _no_half(logp, logp_ref):
    d = logp - logp_ref
    return d, d**2, torch.exp(-d) - 1 + d


def _no_minus_one(logp, logp_ref):
    d = logp - logp_ref
    return d, d**2 / 2, torch.exp(-d) + d


def _no_d(logp, logp_ref):
    d = logp - logp_ref
    return d, d**2 / 2, torch.exp(-d) - 1


def _absolute(logp, logp_ref):
    k1, k2, k3 = kl_estimates(logp, logp_ref)
    return k1.abs(), k2, k3


def _weighted(logp, logp_ref):
    return tuple(logp.exp() * k for k in kl_estimates(logp, logp_ref))


def _mean(logp, logp_ref):
    return tuple(k.mean() for k in kl_estimates(logp, logp_ref))


ESTIMATES = Exercise(
    id="07.kl_estimates",
    title="Three estimates of a KL",
    solution=kl_estimates,
    cases=_cases,
    properties=[_zero_for_equal, _k1_is_unbiased, _k3_is_unbiased, _not_negative],
    gradient=("logp",),
    atol=1e-6,
    mistakes=[
        Mistake(
            _negative_k1,
            "k1 has the wrong sign: its mean is minus the KL. The sampled policy comes first: logp - logp_ref.",
            "natolambert/rlhf-book, code/policy_gradients/loss.py",
        ),
        Mistake(
            _upside_down_k3,
            "The ratio in k3 is upside down. It is pi_ref / pi = exp(logp_ref - logp), as the samples come from pi.",
            "natolambert/rlhf-book issue 489",
        ),
        Mistake(_detached, "Keep `logp` connected: later cells differentiate k itself. Only `logp_ref` is data."),
        Mistake(_both, "The two policies are swapped. Samples come from pi, so d = logp - logp_ref."),
        Mistake(_no_half, "k2 is twice what it should be: half of d squared."),
        Mistake(
            _no_minus_one,
            "k3 is 1 too large everywhere. For equal policies it has to be 0: exp(-d) is 1 there, so subtract 1.",
        ),
        Mistake(_no_d, "exp(-d) - 1 has the mean 0. Add d: the first part only steadies it."),
        Mistake(_absolute, "abs makes k1 positive, and biased. A sample of k1 may be negative; only its mean may not."),
        Mistake(
            _weighted, "You multiplied by pi. Sampling has done that already: likely actions are drawn more often."
        ),
        Mistake(_mean, "Return one number for each sample. The average comes later, over real tokens only."),
        *written(kl_estimates),
    ],
    hints=[
        "All three are functions of one number, d = logp - logp_ref.",
        "k1 is d itself, k2 is half of its square. k3 adds to d something of mean zero: pi_ref / pi minus 1.",
        "`return d, d**2 / 2, torch.exp(-d) - 1 + d`",
    ],
)
