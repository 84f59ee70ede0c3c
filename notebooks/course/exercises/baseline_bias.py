"""baseline_bias: what a baseline adds to the mean arrow."""

import torch

from ..check import Exercise, close, rows


def baseline_bias(probs, baseline):
    """The mean of score * baseline(s, a) over the actions, square by square: (S, 4), (S, 4) -> (S, 4)."""
    mean = (probs * baseline).sum(-1, keepdim=True)  # (S, 1): the baseline averaged with the policy
    return probs * (baseline - mean)


TABLES = rows("baseline_bias")


def cases():
    return [(torch.softmax(logits, -1), baseline) for logits, baseline in TABLES()]


def only_the_square(fn):
    probs, _ = cases()[2]
    baseline = torch.tensor([[-7.0], [0.0], [100.0]]).double().expand(3, 4)
    close(fn(probs, baseline), torch.zeros(3, 4), case=(probs, baseline), atol=1e-9)


def by_the_definition(fn):
    probs, baseline = cases()[1]
    logits = probs.log().requires_grad_()
    logp = torch.log_softmax(logits, -1)
    scores = torch.stack([torch.autograd.grad(logp[0, a], logits, retain_graph=True)[0][0] for a in range(4)])  # (4, 4)
    want = (probs[0, :, None] * baseline[0, :, None] * scores).sum(0)[None]
    close(fn(probs, baseline), want, case=(probs, baseline))


EXERCISE = Exercise(solution=baseline_bias, cases=cases)
