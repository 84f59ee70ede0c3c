"""What was it worth? Discounted returns, generalized advantage estimation and whitening, on (..., T) tensors.

Time is the last axis. Nothing here knows about mazes or language; both use these three functions.
"""

import functools
import math

import torch
from torch import Tensor

from .validate import at_least_float32, axes, finite, flags, not_empty, number, refusing, require, same_shape


@torch.no_grad()
def discounted_returns(rewards: Tensor, gamma: float, *, ended: Tensor | None = None) -> Tensor:
    """G_t = r_t + gamma * G_{t+1}: the discounted sum of rewards from each step on (Sutton and Barto 2018, eq. 3.9).

    rewards: (..., T). ended: (..., T) bool, true where step t is the last of its episode; the sum stops there.
    Without `ended` each row is one episode. Returns (..., T), same dtype, no gradient.
    ValueError for an empty or non-finite `rewards`, or a gamma outside [0, 1].

    >>> discounted_returns(torch.tensor([0.0, 0.0, 1.0]), gamma=0.5)
    tensor([0.2500, 0.5000, 1.0000])
    """
    rewards = _reals("rewards", rewards)
    dtype, rewards = rewards.dtype, at_least_float32(rewards)
    gamma = number("gamma", gamma, 0.0, 1.0)
    same_shape({"rewards": rewards, "ended": ended})
    finite("rewards", rewards)
    go_on = torch.full_like(rewards, gamma) if ended is None else gamma * (~flags("ended", ended)).to(rewards)
    return _backward_sum(rewards, go_on).to(dtype)


@torch.no_grad()
def gae(
    rewards: Tensor, values: Tensor, next_values: Tensor, *, terminated: Tensor, truncated=None, mask=None, gamma, lam
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (Schulman et al. 2016, eq. 16): returns (advantages, returns), both (..., T).

        delta_t = r_t + gamma * V(s_{t+1}) * (1 - terminated_t) - V(s_t)          the TD error
        A_t     = delta_t + gamma * lam * (1 - cut_t) * A_{t+1}                   cut: terminated, truncated, end of row
        R_t     = A_t + V(s_t)                                                    the target for the critic

    rewards, values, next_values: (..., T); next_values[t] = V(the true next observation, before any reset).
    terminated: the future is worth nothing. truncated: it is worth V(next observation), but the trace stops.
    mask: true on real steps; it may have holes. The trace is cut before a masked step, and everything outside the mask
    is zero in the result whatever stands there, NaN included. No gradient flows. lam may be (..., 1), one a row.
    ValueError for different shapes, non-finite numbers on real steps, gamma or lam outside [0, 1], a mask of zeros.

    >>> r, v = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.6, 0.7])
    >>> end = torch.tensor([False, False, True])
    >>> gae(r, v, torch.tensor([0.6, 0.7, 9.0]), terminated=end, gamma=0.99, lam=0.95)
    (tensor([0.4468, 0.3752, 0.3000]), tensor([0.9468, 0.9752, 1.0000]))
    """
    rewards = _reals("rewards", rewards)
    gamma, lam = number("gamma", gamma, 0.0, 1.0), _lambda(lam, rewards.shape)
    steps = {"rewards": rewards, "values": values, "next_values": next_values}
    ends = {"terminated": terminated, "truncated": truncated, "mask": mask}
    same_shape(steps | ends)
    require(mask is None or bool(mask.any()), ValueError, "numbers", "no real step")
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in steps.values()))
    rewards, values, next_values = (x.to(torch.promote_types(dtype, torch.float32)) for x in steps.values())
    ends = {name: flags(name, x) for name, x in ends.items() if x is not None}
    real, terminated = ends.get("mask", torch.ones_like(rewards, dtype=torch.bool)), ends["terminated"]
    bootstrapped = real & ~terminated
    rewards, values = rewards.where(real, 0), values.where(real, 0)
    next_values = next_values.where(bootstrapped, 0)  # gone before the arithmetic: 0 * NaN would be NaN
    for name, x in (("rewards", rewards), ("values", values), ("next_values", next_values)):
        finite(name, x)

    cut = terminated | ends.get("truncated", terminated)
    deltas = rewards + gamma * next_values - values  # 0 outside the mask, so a trace that runs into a hole adds nothing
    advantages = _backward_sum(deltas, gamma * lam * (real & ~cut).to(rewards))
    return advantages.to(dtype), (advantages + values).to(dtype)


def whiten(x: Tensor, mask: Tensor | None = None, *, dim=None, shift_mean=True, eps=1e-8) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over the valid entries; unbiased variance; a single entry becomes 0.

    x: any shape. mask: same shape, true on valid entries; the others become 0. dim: the axes reduced together (None:
    all), so that with a leading axis of seeds each seed is whitened alone. shift_mean=False keeps the mean.

    >>> whiten(torch.tensor([1.0, 2.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    x = _reals("x", x)
    same_shape({"x": x, "mask": mask})
    require(mask is None or bool(mask.any()), ValueError, "numbers", "no real step")
    eps = number("eps", eps, 0.0)
    real = torch.ones_like(x, dtype=torch.bool) if mask is None else flags("mask", mask)
    dtype, x = x.dtype, at_least_float32(x).where(real, 0)
    finite("x", x)
    over = axes(dim, x.ndim)
    n = real.sum(over, keepdim=True)
    centred = x
    for _ in range(2):  # twice: rounding in the first mean would pass for spread when all entries are equal
        centred = (centred - centred.sum(over, keepdim=True) / n.clamp(min=1)).where(real, 0)
    variance = centred.square().sum(over, keepdim=True) / (n - 1).clamp(min=1)
    if (eps == 0 and ((variance == 0) & (centred != 0)).any()) or not math.isfinite(variance.sum().item()):
        require(x.dtype != torch.float64, ValueError, "numbers", "too large", x.abs().max())
        return whiten(x.double(), mask, dim=dim, shift_mean=shift_mean, eps=eps).to(dtype)
    x, scale = centred if shift_mean else x, torch.rsqrt(variance + eps)
    return (x * scale).where((n > 1) & scale.isfinite(), 0).to(dtype)


def _lambda(lam, shape: tuple[int, ...]):
    """A number in [0, 1], or a tensor of such, one for each row of `shape`."""
    if not isinstance(lam, Tensor) or not lam.ndim:
        return number("lam", lam, 0.0, 1.0)
    require(lam.shape == (*shape[:-1], 1), ValueError, "numbers", "shape", "lam", 1, tuple(lam.shape))
    for x in lam.flatten().tolist():
        number("lam", x, 0.0, 1.0)
    return lam


def _backward_sum(x: Tensor, weight: Tensor) -> Tensor:
    """y_t = x_t + weight_t * y_{t+1}, from the last step to the first."""
    steps, weights = x.unbind(-1), weight.unbind(-1)
    y = [steps[-1]]
    for t in range(len(steps) - 2, -1, -1):
        y.append(torch.addcmul(steps[t], weights[t], y[-1]))
    return torch.stack(y[::-1], dim=-1)


def _reals(name: str, x) -> Tensor:
    """`x` as a floating point tensor with at least one step."""
    with refusing((TypeError, ValueError, RuntimeError), TypeError, "numbers", "no conversion", name, type(x).__name__):
        x = torch.as_tensor(x.tolist() if hasattr(x, "filled") and x.mask.any() else x)  # what a mask hides is None
    same_shape({name: x})
    require(x.ndim > 0, ValueError, "numbers", "no time", name, x)
    not_empty(name, x)
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())
