"""clip_fraction: the share of samples where clipping binds."""

import torch

from ..check import Exercise, close, examples, rows
from .clipped_surrogate import SIX, batch, samples


def clip_fraction(logp, logp_old, advantages, eps):
    """Share of the samples whose gradient clipping removes: the clipped product is the smaller one."""
    ratio = torch.exp(logp - logp_old)
    clipped = ratio.clamp(1 - eps, 1 + eps)
    return (clipped * advantages < ratio * advantages).double().mean()


def same_as_no_gradient(fn):
    logp, logp_old, advantages = samples(*SIX)
    logp.requires_grad_(True)
    ratio = torch.exp(logp - logp_old)
    objective = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    (slopes,) = torch.autograd.grad(objective.sum(), logp)
    close(fn(*samples(*SIX), 0.2), (slopes == 0).double().mean(), case=(*samples(*SIX), 0.2))


EXERCISE = Exercise(
    solution=clip_fraction, cases=rows("clip_fraction", batch), suite=examples("clip_fraction"), check_dtype=False
)
