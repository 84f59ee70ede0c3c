"""kl: the distance between two policies."""

import torch

from ..check.spec import Exercise, close, require
from .surrogate import draw


def kl(logits_old, logits_new):
    """KL(old || new) of two softmax policies, square by square, in nats. (..., A), (..., A) -> (...)."""
    logp_old, logp_new = torch.log_softmax(logits_old, -1), torch.log_softmax(logits_new, -1)
    return (logp_old.exp() * (logp_old - logp_new)).sum(-1)


def cases():
    two = torch.tensor([0.0, 0.0], dtype=torch.float64), torch.tensor([2.0, 0.0], dtype=torch.float64)
    rare = torch.tensor([[4.0, 0.0, 0.0, 0.0]], dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    return [two, rare, (draw(11, 3, 4), draw(12, 3, 4)), (draw(13, 2, 3, 5), draw(14, 2, 3, 5))]


def zero_when_equal(fn):
    logits = draw(15, 3, 4)
    close(fn(logits, logits + 2.0), torch.zeros(3), case=(logits, logits + 2.0), atol=1e-9)


def never_negative(fn):
    old, new = draw(16, 50, 4), draw(17, 50, 4)
    got = fn(old, new)
    require((got >= -1e-12).all(), case=(old, new), got=got)


def the_first_one_weighs(fn):
    old, new = torch.tensor([0.0, 0.0, -200.0]).double(), torch.tensor([0.0, 0.0, 0.0]).double()
    close(fn(old, new), torch.tensor(1.5).double().log(), case=(old, new), atol=1e-6)


EXERCISE = Exercise(solution=kl, cases=cases, gradient=("logits_new",))
