"""Notebook 06: two ways to watch an update: how often clipping binds, and whether to take one more step."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written
from .nb06_surrogate import SIX, random_samples, samples

# ---- 06.clip_fraction --------------------------------------------------------


def clip_fraction(logp, logp_old, advantages, eps):
    """Share of the samples whose gradient clipping removes: the clipped product is the smaller one."""
    ratio = torch.exp(logp - logp_old)
    clipped = ratio.clamp(1 - eps, 1 + eps)
    return (clipped * advantages < ratio * advantages).double().mean()


def _fraction_cases():
    g = torch.Generator().manual_seed(8)
    return [
        (*samples([1.5, 1.1], [1.0, 1.0]), 0.2),
        (*samples([1.5, 1.1], [-1.0, -1.0]), 0.2),
        (*samples([0.5, 1.1, 1.1], [-1.0, -1.0, 1.0]), 0.2),
        (*samples([0.5, 1.1, 1.1], [1.0, -1.0, 1.0]), 0.2),
        (*samples(*SIX), 0.2),
        (*samples([0.1, 0.5, 1.5], [-1.0, -1.0, 1.0]), 0.2),  # below eps too
        (*samples([1.21, 1.19, 0.81, 0.79, 0.79], [1.0, 1.0, -1.0, -1.0, -1.0]), 0.2),
        (*random_samples(g, 40), 0.1),
        (*random_samples(g, 10, 7), 0.3),
        (*random_samples(g, 30, dtype=torch.float32), 0.2),
    ]


def _nothing_changed(fn):
    """While the two policies are the same, clipping binds nowhere."""
    logp = torch.tensor([-1.0, -0.5, -2.0]).double()
    case = logp, logp.clone(), torch.tensor([1.0, -1.0, 2.0]).double(), 0.2
    close(fn(*case), 0.0, case=case)


def _same_as_no_gradient(fn):
    """The share must be that of the samples whose gradient is zero."""
    logp, logp_old, advantages = samples(*SIX)
    logp.requires_grad_(True)
    ratio = torch.exp(logp - logp_old)
    objective = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    (slopes,) = torch.autograd.grad(objective.sum(), logp)
    close(fn(*samples(*SIX), 0.2), (slopes == 0).double().mean(), case=(*samples(*SIX), 0.2))


def _outside(logp, logp_old, advantages, eps):
    return ((torch.exp(logp - logp_old) - 1).abs() > eps).double().mean()


def _wrong_side(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return (ratio * advantages < ratio.clamp(1 - eps, 1 + eps) * advantages).double().mean()


def _counts_ties(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return (ratio.clamp(1 - eps, 1 + eps) * advantages <= ratio * advantages).double().mean()


def _upper_side_only(logp, logp_old, advantages, eps):
    return ((torch.exp(logp - logp_old) > 1 + eps) & (advantages > 0)).double().mean()


def _log_ratio(logp, logp_old, advantages, eps):
    return ((logp - logp_old).abs() > eps).double().mean()


def _without_advantages(logp, logp_old, advantages, eps):
    ratio = torch.exp(logp - logp_old)
    return (ratio.clamp(1 - eps, 1 + eps) < ratio).double().mean()


def _a_count(logp, logp_old, advantages, eps):
    return clip_fraction(logp, logp_old, advantages, eps) * logp.numel()


FRACTION = Exercise(
    id="06.clip_fraction",
    title="The share of samples where clipping binds",
    solution=clip_fraction,
    cases=_fraction_cases,
    properties=[_nothing_changed, _same_as_no_gradient],
    check_dtype=False,
    mistakes=[
        Mistake(
            _outside,
            "This counts every ratio outside the fence. Half of those have their full gradient: A < 0 above it, A > 0 "
            "below it. Compare the two products instead.",
            "huggingface/trl pull request 3175; the same definition stands in Spinning Up",
        ),
        Mistake(
            _wrong_side,
            "You counted the samples where the UNCLIPPED product is smaller. The minimum takes the smaller one, so "
            "there nothing is clipped. Turn the comparison round.",
            "huggingface/trl issues 3032 and 3144",
        ),
        Mistake(
            _counts_ties,
            "Inside the fence both products are equal, and equal counted. Clipping binds where the clipped product is "
            "strictly smaller.",
        ),
        Mistake(_upper_side_only, "You counted A > 0 above the fence. The other flat case is A < 0 below it."),
        Mistake(
            _log_ratio,
            "You compared the logarithm of the ratio with eps, on both sides. Take `exp`, and ask which product the "
            "minimum takes.",
        ),
        Mistake(
            _without_advantages,
            "The advantage is missing: for A < 0 the smaller product belongs to the larger ratio. Compare products.",
        ),
        Mistake(_a_count, "A count came back. The share is the mean of a true-or-false tensor, a number from 0 to 1."),
        *written(clip_fraction),
    ],
    hints=[
        "The minimum of two products was taken. When is the clipped one the smaller?",
        "Make both products as in clipped_surrogate and compare them: a tensor of true and false.",
        "`(clipped * advantages < ratio * advantages).double().mean()`.",
    ],
)

# ---- 06.keep_going -----------------------------------------------------------


def keep_going(logp, logp_old, target_kl):
    """May the optimizer take one more step? True while the estimated KL is at most 1.5 * target_kl."""
    log_ratio = logp - logp_old
    kl = (torch.exp(log_ratio) - 1 - log_ratio).mean()  # k3: every term is at least 0
    return bool(kl <= 1.5 * target_kl)


def _step_cases():
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


def _same_policy(fn):
    """While the two policies are the same, go on."""
    logp = torch.tensor([-1.0, -2.0]).double()
    require(fn(logp, logp.clone(), 0.02), case=(logp, logp.clone(), 0.02), got=False)


def _far_away(fn):
    """Every sampled action became twice as likely: that is far, whichever sign its logarithm has. Stop."""
    case = _step_cases()[7]
    got = fn(*case)
    require(not got, case=case, got=got)


def _k1(logp, logp_old, target_kl):
    return bool((logp_old - logp).mean() <= 1.5 * target_kl)


def _k1_turned_round(logp, logp_old, target_kl):
    return bool((logp - logp_old).mean() <= 1.5 * target_kl)


def _k2(logp, logp_old, target_kl):
    return bool(((logp - logp_old) ** 2 / 2).mean() <= 1.5 * target_kl)


def _plus_the_log(logp, logp_old, target_kl):
    log_ratio = logp - logp_old
    return bool((torch.exp(log_ratio) - 1 + log_ratio).mean() <= 1.5 * target_kl)


def _turned_round(logp, logp_old, target_kl):
    return not keep_going(logp, logp_old, target_kl)


def _other_direction(logp, logp_old, target_kl):
    return keep_going(logp_old, logp, target_kl)


def _exp_twice(logp, logp_old, target_kl):
    ratio = torch.exp(logp - logp_old)
    return bool((torch.exp(ratio) - 1 - ratio).mean() <= 1.5 * target_kl)


def _summed(logp, logp_old, target_kl):
    log_ratio = logp - logp_old
    return bool((torch.exp(log_ratio) - 1 - log_ratio).sum() <= 1.5 * target_kl)


def _worst_sample(logp, logp_old, target_kl):
    log_ratio = logp - logp_old
    return bool((torch.exp(log_ratio) - 1 - log_ratio).max() <= 1.5 * target_kl)


def _without_slack(logp, logp_old, target_kl):
    return keep_going(logp, logp_old, target_kl / 1.5)


def _size_of_the_log_ratio(logp, logp_old, target_kl):
    return bool((logp - logp_old).mean().abs() <= 1.5 * target_kl)


STOP = Exercise(
    id="06.keep_going",
    title="One more step, or stop?",
    solution=keep_going,
    cases=_step_cases,
    properties=[_same_policy, _far_away],
    check_dtype=False,
    mistakes=[
        Mistake(
            _k1,
            "You averaged `logp_old - logp`. That estimate is right on average and may be negative on a batch: "
            "policies that are far apart then pass. k3 = ratio - 1 - log(ratio) is never negative.",
            "DLR-RM/stable-baselines3 issue 417 and openai/spinningup issue 137",
        ),
        Mistake(
            _k1_turned_round,
            "You averaged `logp - logp_old`: its mean over samples of the old policy is MINUS the KL, so policies that "
            "are far apart pass. k3 = ratio - 1 - log(ratio) is never negative.",
        ),
        Mistake(
            _k2,
            "You took half of the squared log-ratio. Near ratio 1 it is nearly the same, but its mean is not the KL. "
            "k3 is ratio - 1 - log(ratio).",
        ),
        Mistake(
            _plus_the_log,
            "The logarithm has the wrong sign: ratio - 1 MINUS log(ratio). With a plus it is negative for every ratio "
            "below 1.",
        ),
        Mistake(_turned_round, "Turned round: this stops while the policies are near and goes on when they are far."),
        Mistake(
            _other_direction,
            "`logp` and `logp_old` are swapped. The samples come from the OLD policy, and then KL(old || new) is the "
            "mean of ratio - 1 - log(ratio) with ratio = new / old.",
        ),
        Mistake(
            _exp_twice,
            "You took `exp` of the ratio. k3 is ratio - 1 - log(ratio): the ratio itself, and the difference of the "
            "log-probabilities.",
            "Rolv-Arild/rocket-learn pull request 12",
        ),
        Mistake(_summed, "A sum grows with the size of the batch. Take the mean."),
        Mistake(_worst_sample, "You asked for the worst sample. A KL divergence is a mean over samples."),
        Mistake(
            _without_slack,
            "The factor 1.5 is missing: Spinning Up and Stable-Baselines3 stop at 1.5 * target_kl, and so do we.",
        ),
        Mistake(
            _size_of_the_log_ratio,
            "You averaged the log-ratios and dropped the sign. Log-ratios of +0.5 and -0.5 cancel to 0 before that, "
            "and the policies are not near. Use ratio - 1 - log(ratio), which is at least 0 for every sample.",
        ),
        *written(keep_going),
    ],
    hints=[
        "Two lines: estimate how far the policies are apart, compare with 1.5 * target_kl.",
        "k3 of one sample is ratio - 1 - log(ratio), with ratio = exp(logp - logp_old). Take the mean.",
        "`log_ratio = logp - logp_old`, then `(torch.exp(log_ratio) - 1 - log_ratio).mean() <= 1.5 * target_kl`.",
    ],
)
