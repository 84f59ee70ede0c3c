"""entropy: the entropy of a softmax policy."""

import torch

from ..check import Exercise, close, examples, rows


def entropy(logits):
    """-sum_a pi(a) log pi(a), in nats: (..., A) logits -> (...)."""
    logp = torch.log_softmax(logits, -1)
    return -(logp.exp() * logp).sum(-1)


def shifted(fn):
    logits = torch.tensor([0.3, -1.0, 2.0]).double()
    close(fn(logits + 50), -(torch.softmax(logits, -1) * torch.log_softmax(logits, -1)).sum(), case=(logits + 50,))


EXERCISE = Exercise(solution=entropy, cases=rows("entropy"), gradient=True, suite=examples("entropy"))
