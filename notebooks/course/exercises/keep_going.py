"""keep_going: one more step, or stop?"""

import torch

from ..check import Exercise, require, rows


def keep_going(logp, logp_old, target_kl):
    """May the optimizer take one more step? True while the estimated KL is at most 1.5 * target_kl."""
    log_ratio = logp - logp_old
    kl = (torch.exp(log_ratio) - 1 - log_ratio).mean()  # k3: every term is at least 0
    return bool(kl <= 1.5 * target_kl)


def batch(g, target, log_ratios=(), n=0, spread=0.0, dtype=torch.float64):
    if log_ratios:
        old = torch.full((len(log_ratios),), -1.5, dtype=dtype)
        return old + torch.tensor(log_ratios, dtype=dtype), old, target
    old = -2 * torch.rand(n, generator=g, dtype=dtype) - 0.1
    return (old + spread * torch.randn(n, generator=g, dtype=dtype)).clamp(max=-0.01), old, target


def cases():
    few = rows("keep_going", batch)()
    # yes or no says little: the same batches with many targets show the number behind it
    return few + [(logp, old, 1e-4 * 1.4**k) for logp, old, _ in few for k in range(28)]


def same_policy(fn):
    logp = torch.tensor([-1.0, -2.0]).double()
    require(fn(logp, logp.clone(), 0.02), case=(logp, logp.clone(), 0.02), got=False)


def far_away(fn):
    case = cases()[7]
    got = fn(*case)
    require(not got, case=case, got=got)


EXERCISE = Exercise(solution=keep_going, cases=cases, check_dtype=False)
