"""group_loss: the loss that prints 0 and teaches all the same."""

import torch

from ..check import Exercise, require, rows


def group_loss(logp, logp_old, advantages, mask):
    """Minus the mean over all real tokens of ratio * advantage: (B, T), (B, T), (B,), (B, T) -> one number."""
    ratio = torch.exp(logp - logp_old.detach())
    return -(ratio * advantages.detach()[:, None])[mask].mean()


def draw(shape, seed, moved=0.5, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    old, step, A = -torch.rand(3, *shape, generator=g, dtype=dtype) - 0.1
    lengths = torch.randint(1, shape[1] + 1, (shape[0],), generator=g)
    return (
        (old + moved * (step + 0.5)).clamp(max=-0.01),
        old,
        A[:, 0] - A[:, 0].mean(),
        torch.arange(shape[1]) < lengths[:, None],
    )


cases = rows("group_loss", draw)


def zero_and_yet_a_pull(fn):
    logp, _, A, mask = draw([4, 3], 9, 0.0)
    live, whole = logp.clone().requires_grad_(), torch.ones_like(mask)
    loss = fn(live, logp, A, whole)
    require(abs(float(loss)) < 1e-9, case=(logp, logp, A, whole), got=loss)
    require(loss.requires_grad, case=(logp, logp, A, whole), got=loss)
    (gradient,) = torch.autograd.grad(loss, live)
    require(bool(gradient.abs().max() > 1e-3), case=(logp, logp, A, whole), got=gradient)


EXERCISE = Exercise(solution=group_loss, cases=cases, gradient=("logp",))
