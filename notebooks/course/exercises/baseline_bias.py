"""baseline_bias: what a baseline adds to the mean arrow."""

import torch

from ..check.spec import Exercise, close


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _draw(g, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=g, dtype=dtype)


def baseline_bias(probs, baseline):
    """The mean of score * baseline(s, a) over the actions, square by square: (S, 4), (S, 4) -> (S, 4)."""
    mean = (probs * baseline).sum(-1, keepdim=True)  # (S, 1): the baseline averaged with the policy
    return probs * (baseline - mean)


def cases():
    g = _generator(3)

    def table(squares, actions):
        return torch.softmax(_draw(g, squares, actions), -1), _draw(g, squares, actions)

    start = torch.full((1, 4), 0.25).double(), torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double()
    return [start, table(1, 4), table(3, 4), table(4, 4), table(5, 4), table(16, 4)]


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
