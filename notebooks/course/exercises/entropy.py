"""entropy: the entropy of a softmax policy."""

import torch

from ..check.spec import Exercise, close


def entropy(logits):
    """-sum_a pi(a) log pi(a), in nats: (..., A) logits -> (...)."""
    logp = torch.log_softmax(logits, -1)
    return -(logp.exp() * logp).sum(-1)


def cases():
    g = torch.Generator().manual_seed(5)
    rows = [[0.0, 0.0, 0.0, 0.0], [2.0, 0.0], [800.0, 799.0, -800.0], [[1.0, 2.0, 3.0], [-1.0, 0.0, 5.0]]]
    cases = [(torch.tensor(row).double(),) for row in rows]
    for shape, dtype in (((5, 4), torch.float64), ((2, 3, 6), torch.float64), ((7, 2), torch.float32)):
        cases.append((2 * torch.randn(*shape, generator=g, dtype=dtype),))
    return cases


def undecided(fn):
    for size in (2, 4, 7):
        case = (torch.full((size,), 3.0, dtype=torch.float64),)
        close(fn(*case), torch.tensor(float(size)).log(), case=case)


def decided(fn):
    case = (torch.tensor([1000.0, 0.0, 0.0]).double(),)
    close(fn(*case), 0.0, case=case)


def shifted(fn):
    logits = torch.tensor([0.3, -1.0, 2.0]).double()
    close(fn(logits + 50), -(torch.softmax(logits, -1) * torch.log_softmax(logits, -1)).sum(), case=(logits + 50,))


EXERCISE = Exercise(solution=entropy, cases=cases, gradient=True)
