"""clip_fraction: the share of samples where clipping binds."""

import torch

from ..check.spec import Exercise, close
from .clipped_surrogate import SIX, random_samples, samples


def clip_fraction(logp, logp_old, advantages, eps):
    """Share of the samples whose gradient clipping removes: the clipped product is the smaller one."""
    ratio = torch.exp(logp - logp_old)
    clipped = ratio.clamp(1 - eps, 1 + eps)
    return (clipped * advantages < ratio * advantages).double().mean()


def cases():
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


def nothing_changed(fn):
    logp = torch.tensor([-1.0, -0.5, -2.0]).double()
    case = logp, logp.clone(), torch.tensor([1.0, -1.0, 2.0]).double(), 0.2
    close(fn(*case), 0.0, case=case)


def same_as_no_gradient(fn):
    logp, logp_old, advantages = samples(*SIX)
    logp.requires_grad_(True)
    ratio = torch.exp(logp - logp_old)
    objective = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    (slopes,) = torch.autograd.grad(objective.sum(), logp)
    close(fn(*samples(*SIX), 0.2), (slopes == 0).double().mean(), case=(*samples(*SIX), 0.2))


EXERCISE = Exercise(solution=clip_fraction, cases=cases, check_dtype=False)
