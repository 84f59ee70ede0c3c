"""The objectives of the course. Objectives are maximised and per element; a loss is minus an objective.

Pure functions of (..., T) tensors; the maze robot and the language model use the same ones. `aggregate` is the one
place where per-element numbers become a single number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import validate


def policy_gradient(logp: Tensor, advantages: Tensor) -> Tensor:
    """log pi(a|s) * A, per element: its gradient is the REINFORCE estimate (Williams 1992, theorem 1).

    logp, advantages: (...). No gradient flows into `advantages`: it is a measurement, not a part of the policy.

    >>> policy_gradient(torch.tensor([-0.7, -0.2]), torch.tensor([2.0, -1.0]))
    tensor([-1.4000,  0.2000])
    """
    validate.same_shape(logp=logp, advantages=advantages)
    validate.finite("logp", logp)
    validate.finite("advantages", advantages)
    return logp * advantages.detach()


def value_loss(
    values: Tensor, returns: Tensor, *, values_old: Tensor | None = None, clip: float | None = None
) -> Tensor:
    """1/2 (V - R)^2 per element, to be minimised; with `clip`, the larger of the clipped and the unclipped one.

    values, returns, values_old: (...). clip: V may leave values_old by at most this much before its gradient stops
    (Schulman et al. 2017 leave it out; the OpenAI baselines code has it). No gradient flows into `returns`.
    ValueError if only one of `values_old` and `clip` is given, or if clip <= 0.

    >>> value_loss(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))
    tensor([0.5000, 4.5000])
    """
    validate.same_shape(values=values, returns=returns, values_old=values_old)
    validate.finite("values", values)
    validate.finite("returns", returns)
    returns = returns.detach()
    error = (values - returns).square()
    if (clip is None) != (values_old is None):
        raise ValueError("clip and values_old go together: give both (clipped value loss) or neither")
    if clip is not None:
        if not clip > 0:
            raise ValueError(f"clip must be positive; got {clip}. Leave it out for the plain squared error")
        old = values_old.detach()
        error = torch.maximum(error, (old + (values - old).clamp(-clip, clip) - returns).square())
    return 0.5 * error


def entropy(logits: Tensor) -> Tensor:
    """-sum_a pi(a) log pi(a) of a softmax policy, in nats. logits (..., A) -> (...). A logit may be -inf.

    >>> entropy(torch.zeros(4))
    tensor(1.3863)
    """
    logp = logits - logits.logsumexp(-1, keepdim=True)
    p = logp.exp()
    return -(p * logp.masked_fill(p == 0, 0.0)).sum(-1)


def aggregate(
    x: Tensor,
    mask: Tensor | None = None,
    how: str = "token-mean",
    *,
    dim: int | tuple[int, ...] | None = None,
    denominator: float | None = None,
) -> Tensor:
    """Per-element numbers -> one number. x (..., T); mask (..., T), true on real steps; masked entries never count.

    how: "token-mean"           sum over all real steps / their number
         "seq-mean-token-mean"  mean over sequences of the mean over their steps
         "seq-mean-token-sum"   mean over sequences of the sum over their steps
    dim: the axes reduced together (None: all), so that leading axes of seeds stay apart; the last axis is always time.
    denominator: replaces the number of steps (token-mean) or of sequences (seq-*), so that splitting a batch into
    micro-batches never changes a gradient. ValueError for an unknown `how` or if no step is real.

    >>> x, mask = torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    >>> aggregate(x, mask), aggregate(x, mask, "seq-mean-token-mean"), aggregate(x, mask, "seq-mean-token-sum")
    (tensor(3.), tensor(3.5000), tensor(4.5000))
    """
    if how not in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum"):
        raise ValueError(f"how must be 'token-mean', 'seq-mean-token-mean' or 'seq-mean-token-sum'; got {how!r}")
    validate.same_shape(x=x, mask=mask)
    validate.not_empty("x", x)
    real = torch.ones_like(x, dtype=torch.bool) if mask is None else mask.bool()
    if denominator is None and not real.any():
        raise ValueError("mask marks no real step, so there is nothing to average; check how the mask was made")
    x = x.where(real, 0)
    axes = _axes(dim, x.ndim)
    if how == "token-mean":
        return x.sum(axes) / (denominator if denominator is not None else real.sum(axes))
    if x.ndim - 1 not in axes:
        raise ValueError(f"how={how!r} reduces over time, the last axis; dim={dim} leaves it out")
    sequences = real.any(-1, keepdim=True)  # a sequence without a real step does not count
    per_sequence = x.sum(-1, keepdim=True)
    if how == "seq-mean-token-mean":
        per_sequence = per_sequence / real.sum(-1, keepdim=True).clamp(min=1)
    return per_sequence.sum(axes) / (denominator if denominator is not None else sequences.sum(axes))


@torch.no_grad()
def explained_variance(
    values: Tensor, returns: Tensor, mask: Tensor | None = None, *, dim: int | tuple[int, ...] | None = None
) -> Tensor:
    """1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 for a constant one, below 0: worse than none.

    values, returns, mask: (..., T); dim as in `aggregate`. NaN where the returns do not vary (nothing to explain).

    >>> explained_variance(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    validate.same_shape(values=values, returns=returns, mask=mask)

    def variance(x):
        mean = aggregate(x, mask, dim=dim)
        for axis in sorted(_axes(dim, x.ndim)):
            mean = mean.unsqueeze(axis)
        return aggregate((x - mean).square(), mask, dim=dim)

    total = variance(returns)
    return torch.where(total > 0, 1 - variance(returns - values) / total, torch.nan)


def _axes(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes to reduce, counted from the front; None means all."""
    if dim is None:
        return tuple(range(ndim))
    return tuple(d % ndim for d in (dim if isinstance(dim, tuple) else (dim,)))
