"""keep_going: one more step, or stop?"""

import torch

from ..check.spec import Exercise, require


def keep_going(logp, logp_old, target_kl):
    """May the optimizer take one more step? True while the estimated KL is at most 1.5 * target_kl."""
    log_ratio = logp - logp_old
    kl = (torch.exp(log_ratio) - 1 - log_ratio).mean()  # k3: every term is at least 0
    return bool(kl <= 1.5 * target_kl)


def cases():
    g = torch.Generator().manual_seed(9)

    def one(*log_ratios):
        old = torch.full((len(log_ratios),), -1.5, dtype=torch.float64)
        return old + torch.tensor(log_ratios, dtype=torch.float64), old

    def drawn(n, spread, dtype=torch.float64):
        old = -2 * torch.rand(n, generator=g, dtype=dtype) - 0.1
        return (old + spread * torch.randn(n, generator=g, dtype=dtype)).clamp(max=-0.01), old

    cases = [
        (*one(0.0, 0.0), 0.02),  # k3 = 0
        (*one(0.22, 0.22), 0.02),  # k3 = .026: above the target, below 1.5 times it; k1 negative
        (*one(-0.24, -0.24), 0.02),  # k3 = .0266, k1 = .24
        (*one(0.24, 0.24), 0.02),  # k3 = .0312: stop. The other direction, exp(-d) - 1 + d, is .0266
        (*one(-0.26, -0.26), 0.02),  # k3 = .0311: stop; the other direction .0369
        (*one(0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.02),  # mean .0186, largest .149
        (*one(0.5, -0.5), 0.02),  # k1 cancels to 0, k3 = .128: stop
        (*one(0.7, 0.7), 0.02),  # k1 = -.7, k3 = .31: stop
        (*drawn(64, 0.05), 0.01),
        (*drawn(64, 0.5), 0.01),
        (*drawn(32, 0.1, torch.float32), 0.02),
    ]
    # yes or no says little: the same batches with many targets show the number behind it
    return cases + [(logp, old, 1e-4 * 1.4**k) for logp, old, _ in cases for k in range(28)]


def same_policy(fn):
    logp = torch.tensor([-1.0, -2.0]).double()
    require(fn(logp, logp.clone(), 0.02), case=(logp, logp.clone(), 0.02), got=False)


def far_away(fn):
    case = cases()[7]
    got = fn(*case)
    require(not got, case=case, got=got)


EXERCISE = Exercise(solution=keep_going, cases=cases, check_dtype=False)
