"""kl_estimates: three estimates of a KL."""

import torch

from ..check import Exercise, close, require, rows


def kl_estimates(logp, logp_ref):
    """(k1, k2, k3) for actions drawn from pi: each guesses KL(pi || pi_ref), one number for each sample."""
    d = logp - logp_ref
    return d, d**2 / 2, torch.exp(-d) - 1 + d


def _two_policies():
    g = torch.Generator().manual_seed(3)
    p, q = torch.log_softmax(0.7 * torch.randn(2, 8, generator=g, dtype=torch.float64), -1)
    return p, q, (p.exp() * (p - q)).sum()


def zero_for_equal(fn):
    p, *_ = _two_policies()
    close(fn(p, p), tuple(torch.zeros(3, 8)), case=(p, p))


def k1_is_unbiased(fn):
    p, q, kl = _two_policies()
    close((p.exp() * fn(p, q)[0]).sum(), kl, case=(p, q))


def k3_is_unbiased(fn):
    p, q, kl = _two_policies()
    close((p.exp() * fn(p, q)[2]).sum(), kl, case=(p, q))


def not_negative(fn):
    p, q, _ = _two_policies()
    require((torch.stack(fn(p, q)[1:]) >= 0).all(), case=(p, q), got=fn(p, q))


EXERCISE = Exercise(solution=kl_estimates, cases=rows("kl_estimates"), gradient=("logp",), atol=1e-6)
