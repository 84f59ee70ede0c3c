"""kl: the distance between two policies."""

import torch

from ..check import Exercise, examples, require, rows
from .surrogate import draw


def kl(logits_old, logits_new):
    """KL(old || new) of two softmax policies, square by square, in nats. (..., A), (..., A) -> (...)."""
    logp_old, logp_new = torch.log_softmax(logits_old, -1), torch.log_softmax(logits_new, -1)
    return (logp_old.exp() * (logp_old - logp_new)).sum(-1)


def never_negative(fn):
    old, new = draw(16, 50, 4), draw(17, 50, 4)
    got = fn(old, new)
    require((got >= -1e-12).all(), case=(old, new), got=got)


EXERCISE = Exercise(solution=kl, cases=rows("kl"), gradient=("logits_new",), suite=examples("kl"))
