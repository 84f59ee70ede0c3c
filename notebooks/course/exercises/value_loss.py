"""value_loss: the value loss, with and without a clip."""

import torch

from ..check import Exercise, close, require, rows


def value_loss(values, returns, values_old, clip):
    """1/2 (V - R)^2, one number for each sample; with a clip, the larger of that and the error of the clipped V."""
    error = (values - returns) ** 2
    if clip is not None:
        near = values_old + (values - values_old).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return 0.5 * error


def _numbers(g, shape, clip, dtype=torch.float64):
    old = 3 * torch.randn(*shape, generator=g, dtype=dtype)
    values = old + 0.6 * torch.randn(*shape, generator=g, dtype=dtype)
    return values, old + 2 * torch.randn(*shape, generator=g, dtype=dtype), old, clip


def plain_slope(fn):
    values, returns, old, _ = _numbers(torch.Generator().manual_seed(1), [5], None)
    leaf = values.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(fn(leaf, returns, old, None).sum(), leaf)
    close(slope, values - returns, case=(values, returns, old, None))


def never_smaller(fn):
    case = _numbers(torch.Generator().manual_seed(2), [40], 0.2)
    with_clip, without = fn(*case), 0.5 * (case[0] - case[1]) ** 2
    require((with_clip >= without - 1e-9).all(), case=case, got=with_clip)


def moved_enough(fn):
    values, returns, old = (torch.tensor(x).double() for x in ([2.5, 1.5], [5.0, -5.0], [2.0, 2.0]))
    leaf = values.clone().requires_grad_(True)
    got = fn(leaf, returns, old, 0.2)
    (slope,) = torch.autograd.grad(got.sum(), leaf)
    close(slope, [0.0, 0.0], case=(values, returns, old, 0.2))


EXERCISE = Exercise(solution=value_loss, cases=rows("value_loss", _numbers), gradient=("values",))
