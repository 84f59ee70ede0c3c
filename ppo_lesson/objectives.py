"""The objectives of the course. Objectives are maximised and per element; a loss is minus an objective.

Pure functions of (..., T) tensors; the maze robot and the language model use the same ones. `aggregate` is the one
place where per-element numbers become a single number. What has a mask never looks outside it. What has none refuses a
NaN anywhere, for 0 * NaN would carry it into every gradient: put 0 there first, `x.where(mask, 0)`.
"""

import torch
from torch import Tensor

from . import validate
from .validate import require


def policy_gradient(logp: Tensor, advantages: Tensor) -> Tensor:
    """log pi(a|s) * A, per element: its gradient is the REINFORCE estimate (Williams 1992, theorem 1).

    logp, advantages: (...), of actions that pi itself chose (else: `surrogate`). No gradient flows into `advantages`.

    >>> policy_gradient(torch.tensor([-0.7, -0.2]), torch.tensor([2.0, -1.0]))
    tensor([-1.4000,  0.2000])
    """
    validate.same_shape({"logp": logp, "advantages": advantages}, reals=True)
    validate.all_finite(logp + advantages, {"logp": logp, "advantages": advantages})
    return logp * advantages.detach()


def surrogate(logp: Tensor, logp_old: Tensor, advantages: Tensor) -> Tensor:
    """ratio * A with ratio = pi(a|s) / pi_old(a|s), per element: what old data says (Schulman et al. 2017, eq. 6).

    logp, logp_old, advantages: (...). Gradient flows into `logp` alone, and is that of the return at pi = pi_old only:
    states and A stay pi_old's. The log-ratio is limited to +-20 (5.5 in float16); e^20 is a broken run, not a policy.

    >>> surrogate(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.5]).log(), torch.tensor([1.0, -1.0]))
    tensor([ 2., -1.])
    """
    return _ratio(logp, logp_old, advantages) * advantages.detach()


def clipped_surrogate(
    logp: Tensor, logp_old: Tensor, advantages: Tensor, eps=0.2, *, eps_high=None, dual_clip: float | None = None
) -> Tensor:
    """min(ratio * A, clip(ratio, 1 - eps, 1 + eps_high) * A), per element, maximised (Schulman et al. 2017, eq. 7).

    eps in (0, 1); eps_high: another upper width, by default eps. dual_clip c > 1: where A < 0 the objective never falls
    below c * A (Ye et al. 2020, eq. 5), which bounds the only branch that clipping leaves open.

    >>> old, ratio = torch.zeros(6), torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 3.5])
    >>> clipped_surrogate(ratio.log(), old, torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]), eps=0.2)
    tensor([ 0.5000,  1.0000,  1.2000, -0.8000, -1.0000, -3.5000])
    """
    low, high = clip_range(eps, eps_high, dual_clip)
    ratio, advantages = _ratio(logp, logp_old, advantages), advantages.detach()
    objective = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    if dual_clip is None:
        return objective
    return torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)


def penalized_surrogate(logp: Tensor, logp_old: Tensor, advantages: Tensor, kl: Tensor, beta: float | Tensor) -> Tensor:
    """ratio * A - beta * KL(pi_old || pi), per element, to be maximised (Schulman et al. 2017, eq. 8).

    kl: (...), the divergence from the policy that collected the data, at each state, with its gradient; beta >= 0.

    >>> zero = torch.zeros(1)
    >>> penalized_surrogate(zero, zero, torch.tensor([2.0]), torch.tensor([0.1]), beta=3.0)
    tensor([1.7000])
    """
    validate.same_shape({"advantages": advantages, "kl": kl}, reals=True)
    validate.finite("kl", kl)
    return surrogate(logp, logp_old, advantages) - validate.not_negative("beta", beta, shape=kl.shape) * kl


def cispo(logp: Tensor, logp_old: Tensor, advantages: Tensor, eps_high: float) -> Tensor:
    """min(ratio, 1 + eps_high) * A * log pi, the weight a number: no token loses its gradient (CISPO, MiniMax 2025).

    arXiv 2506.13585v1, eq. 4 and 5, without a lower limit, as in the paper's runs. Look at its gradient: its value
    estimates nothing.

    >>> cispo(torch.tensor([-0.5, -0.5]), torch.tensor([-0.5, -3.0]), torch.tensor([1.0, -1.0]), eps_high=1.0)
    tensor([-0.5000,  1.0000])
    """
    require(validate.as_float(eps_high) > 0, ValueError, "numbers", "eps_high", eps_high)
    return _ratio(logp, logp_old, advantages).detach().clamp(max=1 + eps_high) * advantages.detach() * logp


@torch.no_grad()
def binary_divergence(logp: Tensor, logp_old: Tensor, kind: str) -> Tensor:
    """How far pi and pi_old are apart about one event, "this token or another one", per element; no gradient.

    kind "tv": |p - p_old|; "kl": KL(pi_old || pi) of the two outcomes (DPPO, arXiv 2602.04879v1, eq. 13 and 14).

    >>> binary_divergence(torch.tensor([0.5, 1e-3]).log(), torch.tensor([0.25, 1e-5]).log(), "tv")
    tensor([0.2500, 0.0010])
    """
    require(kind in ("tv", "kl"), ValueError, "numbers", "divergence", kind)
    validate.same_shape({"logp": logp, "logp_old": logp_old}, reals=True)
    validate.all_finite(logp + logp_old, {"logp": logp, "logp_old": logp_old})
    p, old = logp.exp().clamp(max=1), logp_old.exp().clamp(max=1)
    if kind == "tv":
        return (p - old).abs()
    tiny = torch.finfo(p.dtype).tiny
    return old * (logp_old - logp) + torch.xlogy(1 - old, (1 - old).clamp(min=tiny) / (1 - p).clamp(min=tiny))


def dppo(logp: Tensor, logp_old: Tensor, advantages: Tensor, eps=0.2, *, eps_high=None, divergence="tv") -> Tensor:
    """ratio * A, and 0 where the policy left `eps` and would go on; by divergence, not by ratio (DPPO, Qi et al. 2026).

    arXiv 2602.04879v1, eq. 11 and 12: a token's gradient ends where its `binary_divergence` exceeds eps (eps_high for
    A > 0) and A pulls the ratio further away from 1. eps: 0.15 to 0.2 for "tv", 0.05 for "kl".

    >>> old, A = torch.tensor([0.0001, 0.6, 0.6]).log(), torch.ones(3)
    >>> dppo(torch.tensor([0.01, 0.7, 0.9]).log(), old, A)  # a rare token may become a hundred times as likely
    tensor([100.0000,   1.1667,   0.0000])
    """
    low, high = clip_range(eps, eps_high)
    ratio, advantages = _ratio(logp, logp_old, advantages), advantages.detach()
    limit = torch.where(advantages > 0, high - 1, 1 - low)
    gone = (binary_divergence(logp, logp_old, divergence) > limit) & ((ratio - 1) * advantages > 0)
    return (ratio * advantages).where(~gone, 0)


def sequence_log_ratio(logp: Tensor, logp_old: Tensor, mask: Tensor | None = None, *, token=False) -> Tensor:
    """Mean of log(pi / pi_old) over each reply, at each of its steps: log of GSPO's ratio (Zheng et al. 2025).

    arXiv 2507.18071v2, eq. 7; (..., T) -> (..., T), 0 outside the mask. The objectives take it as logp, and 0 as
    logp_old. token=True: GSPO-token, eq. 14: the same number, with the gradient of this token's own log pi.

    >>> sequence_log_ratio(torch.tensor([[-1.0, -2.0, 9.0]]), torch.zeros(1, 3), torch.tensor([[True, True, False]]))
    tensor([[-1.5000, -1.5000,  0.0000]])
    """
    validate.same_shape({"logp": logp, "logp_old": logp_old, "mask": mask}, reals=True)
    real = torch.ones_like(logp, dtype=torch.bool) if mask is None else validate.flags("mask", mask)
    logp, logp_old = logp.where(real, 0), logp_old.detach().where(real, 0)
    validate.all_finite(logp - logp_old, {"logp": logp, "logp_old": logp_old})
    total = validate.at_least_float32(logp - logp_old).sum(-1, keepdim=True)
    mean = (total / real.sum(-1, keepdim=True).clamp(min=1)).to(logp)
    return (logp - logp.detach() + mean.detach() if token else mean.expand_as(logp)).where(real, 0)


@torch.no_grad()
def truncated_weight(logp: Tensor, logp_sampler: Tensor, cap: float) -> Tensor:
    """min(pi / pi_sampler, cap) per element, for a sampler that is not quite the trainer (TIS; Yao et al. 2025).

    logp: of the trainer's copy of the policy that sampled; logp_sampler: what the sampler itself says. cap >= 1.

    >>> truncated_weight(torch.tensor([0.5, 0.9]).log(), torch.tensor([0.5, 0.1]).log(), cap=2.0)
    tensor([1., 2.])
    """
    validate.number("cap", cap, 1.0)
    validate.same_shape({"logp": logp, "logp_sampler": logp_sampler}, reals=True)
    return _ratio(logp, logp_sampler, torch.ones_like(logp)).clamp(max=cap)


@torch.no_grad()
def clip_fraction(
    logp: Tensor, logp_old: Tensor, advantages: Tensor, eps=0.2, *, eps_high=None, mask=None, dim=None
) -> Tensor:
    """Share of elements whose gradient clipping really removes: the clipped objective is below the unclipped one.

    Not the share with |ratio - 1| > eps: for A > 0 and a low ratio, or A < 0 and a high one, the gradient is whole.

    >>> ratio = torch.tensor([1.5, 1.5, 0.5, 0.5])
    >>> clip_fraction(ratio.log(), torch.zeros(4), torch.tensor([1.0, -1.0, 1.0, -1.0])).item()
    0.5
    """
    low, high = clip_range(eps, eps_high)
    if mask is not None:
        validate.same_shape({"logp": logp, "logp_old": logp_old, "advantages": advantages, "mask": mask})
        mask = validate.flags("mask", mask)
        logp, logp_old, advantages = (x.where(mask, 0) for x in (logp, logp_old, advantages))
    ratio = _ratio(logp, logp_old, advantages)
    binds = ratio.clamp(low, high) * advantages < ratio * advantages
    return aggregate(binds.to(ratio), mask, dim=dim)


def value_loss(values: Tensor, returns: Tensor, *, values_old: Tensor | None = None, clip=None) -> Tensor:
    """1/2 (V - R)^2 per element, to be minimised; with `clip`, the larger of the clipped and the unclipped one.

    values, returns, values_old: (...). clip: V may leave values_old by at most this much before its gradient stops
    (Schulman et al. 2017 leave it out; the OpenAI baselines code has it). No gradient flows into `returns`.
    ValueError if only one of `values_old` and `clip` is given, or if clip <= 0.

    >>> value_loss(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))
    tensor([0.5000, 4.5000])
    """
    validate.same_shape({"values": values, "returns": returns, "values_old": values_old}, reals=True)
    returns = returns.detach()
    error = validate.at_least_float32(gap := values - returns).square()
    validate.all_finite(error, {"values": values, "returns": returns})
    require((clip is None) == (values_old is None), ValueError, "numbers", "clip and values_old")
    if clip is not None:
        clip = validate.positive("clip", clip, without="the plain squared error")
        validate.finite("values_old", values_old)
        gap = values_old.detach() + (values - values_old.detach()).clamp(-clip, clip) - returns
        error = torch.maximum(error, validate.at_least_float32(gap).square())
    return (0.5 * error).to(gap)


def entropy(logits: Tensor) -> Tensor:
    """-sum_a pi(a) log pi(a) of a softmax policy, in nats. logits (..., A) -> (...). A logit may be -inf.

    >>> entropy(torch.zeros(4))
    tensor(1.3863)
    """
    logp = validate.log_softmax("logits", logits)  # logits - logsumexp would round at their size
    p = logp.exp()
    return -(p * logp.masked_fill(p == 0, 0.0)).sum(-1).to(logits.dtype)


def aggregate(x: Tensor, mask: Tensor | None = None, how="token-mean", *, dim=None, denominator=None) -> Tensor:
    """Per-element numbers -> one number. x (..., T); mask (..., T), true on real steps; masked entries never count.

    how: "token-mean"           sum over all real steps / their number
         "seq-mean-token-mean"  mean over sequences of the mean over their steps
         "seq-mean-token-sum"   mean over sequences of the sum over their steps
    dim: the axes reduced together (None: all), so that leading axes of seeds stay apart; the last axis is always time.
    denominator: replaces the number of steps (token-mean) or of sequences (seq-*), so that splitting a batch into
    micro-batches never changes a gradient. ValueError for an unknown `how`, a denominator <= 0, or if no step is real.

    >>> x, mask = torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    >>> aggregate(x, mask), aggregate(x, mask, "seq-mean-token-mean"), aggregate(x, mask, "seq-mean-token-sum")
    (tensor(3.), tensor(3.5000), tensor(4.5000))
    """
    require(how in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum"), ValueError, "numbers", "how", how)
    validate.same_shape({"x": x, "mask": mask})
    validate.not_empty("x", x)
    real = torch.ones_like(x, dtype=torch.bool) if mask is None else validate.flags("mask", mask)
    axes = validate.axes(dim, x.ndim)
    if denominator is None:
        require(mask is None or bool(real.any(axes).all()), ValueError, "numbers", "no real row", dim)
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    x = validate.at_least_float32(x).where(real, 0)
    if denominator is not None:
        denominator = validate.not_negative("denominator", denominator, zero=False, shape=x.sum(axes).shape)
    if how == "token-mean":
        return (x.sum(axes) / (denominator if denominator is not None else real.sum(axes))).to(dtype)
    require(x.ndim - 1 in axes, ValueError, "numbers", "time", how, dim)
    sequences = real.any(-1, keepdim=True)  # a sequence without a real step does not count
    per_sequence = x.sum(-1, keepdim=True)
    if how == "seq-mean-token-mean":
        per_sequence = per_sequence / real.sum(-1, keepdim=True).clamp(min=1)
    return (per_sequence.sum(axes) / (denominator if denominator is not None else sequences.sum(axes))).to(dtype)


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor, mask: Tensor | None = None, *, dim=None) -> Tensor:
    """1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 for a constant one, below 0: worse than none.

    values, returns, mask: (..., T); dim as in `aggregate`. NaN where the returns do not vary (nothing to explain).

    >>> explained_variance(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    validate.same_shape({"values": values, "returns": returns, "mask": mask}, reals=True)
    values, returns = validate.at_least_float32(values), validate.at_least_float32(returns)
    for name, x in (("values", values), ("returns", returns)):
        validate.finite(name, x if mask is None else x.where(validate.flags("mask", mask), 0))

    kept = [1 if axis in validate.axes(dim, values.ndim) else n for axis, n in enumerate(values.shape)]

    def variance(x):
        return aggregate((x - aggregate(x, mask, dim=dim).reshape(kept)).square(), mask, dim=dim)

    total, scale = variance(returns), aggregate(returns.square(), mask, dim=dim)
    varies = total > scale * torch.finfo(returns.dtype).eps ** 1.5  # more than what rounding makes of equal returns
    return torch.where(varies, 1 - variance(returns - values) / total, torch.nan)


def _ratio(logp: Tensor, logp_old: Tensor, advantages: Tensor) -> Tensor:
    """pi / pi_old from log-probabilities, after checking what all surrogates ask of their arguments."""
    validate.same_shape({"logp": logp, "logp_old": logp_old, "advantages": advantages}, reals=True)
    validate.not_empty("logp", logp)
    log_ratio = logp - logp_old.detach()
    validate.all_finite(log_ratio * advantages, {"logp": logp, "logp_old": logp_old, "advantages": advantages})
    return validate.limited(log_ratio).exp()


def clip_range(eps: float, eps_high: float | None, dual_clip: float | None = None) -> tuple[float, float]:
    """The lowest and the highest ratio that has a gradient; ValueError for limits that cannot clip."""
    require(0 < validate.as_float(eps) < 1, ValueError, "numbers", "eps", eps)
    require(eps_high is None or validate.as_float(eps_high) > 0, ValueError, "numbers", "eps_high", eps_high)
    require(dual_clip is None or validate.as_float(dual_clip) > 1, ValueError, "numbers", "dual_clip", dual_clip)
    return 1 - eps, 1 + (eps if eps_high is None else eps_high)
