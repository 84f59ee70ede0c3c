"""Exercise 02.score_function: which way to push the logits, so that an action becomes more likely."""

from __future__ import annotations

import torch
from torch.nn.functional import one_hot

from ..check.spec import Exercise, Mistake, close
from ..check.texts import written


def score_function(logits, actions):
    """The gradient of log pi(action) with respect to the logits of a softmax: (..., A), (...) -> (..., A)."""
    probs = torch.softmax(logits, dim=-1)
    return one_hot(actions, logits.shape[-1]) - probs


def _score_cases():
    g = torch.Generator().manual_seed(0)

    def draw(*shape, dtype=torch.float64):
        return torch.randn(*shape, generator=g, dtype=dtype), torch.randint(shape[-1], shape[:-1], generator=g)

    start = (torch.zeros(4, dtype=torch.float64), torch.tensor(1))
    return [start, draw(4), draw(3), draw(2, 4), draw(3, 5, 4), draw(6, 4, dtype=torch.float32)]


def _sums_to_zero(fn):
    """Pushing all four logits up together changes no probability, so the score must sum to zero."""
    for logits, actions in _score_cases()[:4]:
        close(fn(logits, actions).sum(-1), torch.zeros(actions.shape), case=(logits, actions), atol=1e-6)


def _finite_differences(fn):
    """Nudge one logit by 0.000001: log pi(action) must change by the score times the nudge."""
    logits, action = _score_cases()[1]

    def logp(z):
        return torch.log_softmax(z, -1)[action]

    nudges = 1e-6 * torch.eye(4, dtype=torch.float64)
    slopes = torch.stack([(logp(logits + n) - logp(logits - n)) / 2e-6 for n in nudges])
    close(fn(logits, action), slopes, case=(logits, action), atol=1e-7)


def _mean_is_zero(fn):
    """Averaged over the actions with their own probabilities, the score is zero."""
    logits = _score_cases()[1][0]
    scores = torch.stack([fn(logits, torch.tensor(a)) for a in range(4)])  # (action, logit)
    close(torch.softmax(logits, -1) @ scores, torch.zeros(4), case=(logits, torch.arange(4)), atol=1e-7)


def _no_autograd(fn):
    """The formula itself is asked for: it must work without autograd."""
    logits, actions = _score_cases()[1]
    with torch.no_grad():
        fn(logits, actions)


def _probs_minus_one_hot(logits, actions):
    return torch.softmax(logits, -1) - one_hot(actions, logits.shape[-1])


def _only_the_chosen(logits, actions):
    return one_hot(actions, logits.shape[-1]).to(logits.dtype)


def _no_one_hot(logits, actions):
    return -torch.softmax(logits, -1)


def _gradient_of_the_probability(logits, actions):
    probs = torch.softmax(logits, -1)
    return probs.gather(-1, actions[..., None]) * (one_hot(actions, logits.shape[-1]) - probs)


def _without_softmax(logits, actions):
    return one_hot(actions, logits.shape[-1]) - logits


def _softmax_over_rows(logits, actions):
    return one_hot(actions, logits.shape[-1]) - torch.softmax(logits, 0)


def _others_up_too(logits, actions):
    probs = torch.softmax(logits, -1)
    return torch.where(one_hot(actions, logits.shape[-1]).bool(), 1 - probs, probs)


def _others_stay(logits, actions):
    return one_hot(actions, logits.shape[-1]) * (1 - torch.softmax(logits, -1))


def _with_respect_to_the_probability(logits, actions):
    return one_hot(actions, logits.shape[-1]) / torch.softmax(logits, -1)


SCORE = Exercise(
    id="02.score_function",
    title="The gradient of log pi with respect to the logits",
    solution=score_function,
    cases=_score_cases,
    properties=[_sums_to_zero, _finite_differences, _mean_is_zero, _no_autograd],
    mistakes=[
        Mistake(
            _probs_minus_one_hot,
            "The sign is flipped. `probs - one_hot` is the gradient of the cross-entropy loss, which is minus log pi: "
            "right for descent, and here we climb.",
            "the question asked in openai/spinningup issue 436 and ikostrikov/pytorch-a3c issue 30",
        ),
        Mistake(
            _only_the_chosen,
            "Half of it. log pi(a) is the logit minus log(sum of all exp(logits)): raising one logit lowers the other "
            "probabilities. The slope of that second part is missing.",
        ),
        Mistake(
            _no_one_hot,
            "The first part is missing: log pi(a) begins with the logit of the action itself, whose slope is 1.",
        ),
        Mistake(
            _gradient_of_the_probability,
            "This is the gradient of pi(a), not of log pi(a): it still carries a factor pi(a).",
        ),
        Mistake(_without_softmax, "Logits are not probabilities yet: put them through `torch.softmax(logits, -1)`."),
        Mistake(
            _softmax_over_rows,
            "Your softmax runs over the rows. The actions of one decision lie along the last axis: `dim=-1`.",
        ),
        Mistake(
            _others_up_too,
            "The chosen action is right. For the others it is 0 - pi(b): if one probability rises, the others fall.",
            "ShangtongZhang/reinforcement-learning-an-introduction issue 64",
        ),
        Mistake(
            _others_stay,
            "The chosen action is right. The others are not 0: their logits stand in log(sum of all exp(logits)) too, "
            "so the entry of action b is 0 - pi(b).",
        ),
        Mistake(
            _with_respect_to_the_probability,
            "This is the slope with respect to the probability. We want it with respect to the logits, so the softmax "
            "in between has a slope too.",
        ),
        *written(score_function),
    ],
    hints=[
        "log pi(a) = logits[a] - log(sum over b of exp(logits[b])). Take the slope of each part separately.",
        "The first part has slope 1 for the chosen logit, 0 for the others: a one-hot row. The second has slope pi(b).",
        "`one_hot(actions, logits.shape[-1])` minus `torch.softmax(logits, -1)`.",
    ],
)
