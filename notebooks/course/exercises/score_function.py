"""score_function: the gradient of log pi with respect to the logits."""

import torch
from torch.nn.functional import one_hot

from ..check.spec import Exercise, close


def score_function(logits, actions):
    """The gradient of log pi(action) with respect to the logits of a softmax: (..., A), (...) -> (..., A)."""
    probs = torch.softmax(logits, dim=-1)
    return one_hot(actions, logits.shape[-1]) - probs


def cases():
    g = torch.Generator().manual_seed(0)

    def draw(*shape, dtype=torch.float64):
        return torch.randn(*shape, generator=g, dtype=dtype), torch.randint(shape[-1], shape[:-1], generator=g)

    start = (torch.zeros(4, dtype=torch.float64), torch.tensor(1))
    return [start, draw(4), draw(3), draw(2, 4), draw(3, 5, 4), draw(6, 4, dtype=torch.float32)]


def sums_to_zero(fn):
    for logits, actions in cases()[:4]:
        close(fn(logits, actions).sum(-1), torch.zeros(actions.shape), case=(logits, actions), atol=1e-6)


def finite_differences(fn):
    logits, action = cases()[1]

    def logp(z):
        return torch.log_softmax(z, -1)[action]

    nudges = 1e-6 * torch.eye(4, dtype=torch.float64)
    slopes = torch.stack([(logp(logits + n) - logp(logits - n)) / 2e-6 for n in nudges])
    close(fn(logits, action), slopes, case=(logits, action), atol=1e-7)


def mean_is_zero(fn):
    logits = cases()[1][0]
    scores = torch.stack([fn(logits, torch.tensor(a)) for a in range(4)])  # (action, logit)
    close(torch.softmax(logits, -1) @ scores, torch.zeros(4), case=(logits, torch.arange(4)), atol=1e-7)


def no_autograd(fn):
    logits, actions = cases()[1]
    with torch.no_grad():
        fn(logits, actions)


EXERCISE = Exercise(solution=score_function, cases=cases)
