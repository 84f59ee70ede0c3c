"""Notebook 08: the two other terms of the objective, the value loss (with and without a clip) and the entropy."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written

# ---- 08.value_loss -----------------------------------------------------------


def value_loss(values, returns, values_old, clip):
    """1/2 (V - R)^2, one number for each sample; with a clip, the larger of that and the error of the clipped V."""
    error = (values - returns) ** 2
    if clip is not None:
        near = values_old + (values - values_old).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return 0.5 * error


def _numbers(g, *shape, dtype=torch.float64):
    old = 3 * torch.randn(*shape, generator=g, dtype=dtype)
    values = old + 0.6 * torch.randn(*shape, generator=g, dtype=dtype)
    return values, old + 2 * torch.randn(*shape, generator=g, dtype=dtype), old


def _value_cases():
    g = torch.Generator().manual_seed(4)
    rows = [
        ([1.0, 3.0], [2.0, 0.0], [9.0, -9.0], None),
        ([2.5], [5.0], [2.0], 0.2),
        ([5.5], [5.0], [2.0], 0.2),
        ([1.5, 2.1, -3.0, -3.0], [5.0, 5.0, 1.0, -8.0], [2.0, 2.0, -2.9, -2.0], 0.5),
        ([1.5, 2.5, -3.0], [5.0, 5.0, -8.0], [2.0, 2.0, -2.0], 0.0),  # a clip of 0 is a clip
    ]
    cases = [tuple(torch.tensor(x).double() for x in row[:3]) + row[3:] for row in rows]
    cases += [(*_numbers(g, 7), None), (*_numbers(g, 12), 0.2), (*_numbers(g, 4, 5), 1.0)]
    return [*cases, (*_numbers(g, 6, dtype=torch.float32), 0.3)]


def _plain_slope(fn):
    """Without a clip, the slope in V is V - R: half a square, so that no factor 2 is left over."""
    values, returns, old = _numbers(torch.Generator().manual_seed(1), 5)
    leaf = values.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(fn(leaf, returns, old, None).sum(), leaf)
    close(slope, values - returns, case=(values, returns, old, None))


def _never_smaller(fn):
    """A clip never makes the loss smaller: it is the larger of two errors."""
    case = (*_numbers(torch.Generator().manual_seed(2), 40), 0.2)
    with_clip, without = fn(*case), 0.5 * (case[0] - case[1]) ** 2
    require((with_clip >= without - 1e-9).all(), case=case, got=with_clip)


def _moved_enough(fn):
    """V has moved by more than the clip towards R: its gradient must be 0."""
    values, returns, old = (torch.tensor(x).double() for x in ([2.5, 1.5], [5.0, -5.0], [2.0, 2.0]))
    leaf = values.clone().requires_grad_(True)
    got = fn(leaf, returns, old, 0.2)
    (slope,) = torch.autograd.grad(got.sum(), leaf)
    close(slope, [0.0, 0.0], case=(values, returns, old, 0.2))


def _minimum(values, returns, values_old, clip):
    error = (values - returns) ** 2
    if clip is not None:
        near = values_old + (values - values_old).clamp(-clip, clip)
        error = torch.minimum(error, (near - returns) ** 2)
    return 0.5 * error


def _only_the_clipped(values, returns, values_old, clip):
    near = values if clip is None else values_old + (values - values_old).clamp(-clip, clip)
    return 0.5 * (near - returns) ** 2


def _around_the_return(values, returns, values_old, clip):
    error = (values - returns) ** 2
    if clip is not None:
        error = torch.maximum(error, (values - returns).clamp(-clip, clip) ** 2)
    return 0.5 * error


def _as_a_ratio(values, returns, values_old, clip):
    error = (values - returns) ** 2
    if clip is not None:
        near = values_old * (values / values_old).clamp(1 - clip, 1 + clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return 0.5 * error


def _the_value_itself(values, returns, values_old, clip):
    error = (values - returns) ** 2
    if clip is not None:
        error = torch.maximum(error, (values.clamp(-clip, clip) - returns) ** 2)
    return 0.5 * error


def _half_forgotten_in_one(values, returns, values_old, clip):
    error = 0.5 * (values - returns) ** 2
    if clip is not None:
        near = values_old + (values - values_old).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return error


VALUE = Exercise(
    id="08.value_loss",
    title="The value loss, with and without a clip",
    solution=value_loss,
    cases=_value_cases,
    properties=[_plain_slope, _never_smaller, _moved_enough],
    gradient=("values",),
    mistakes=[
        Mistake(
            _minimum,
            "You took the smaller error. That rewards leaving: where V has overshot, the loss looks at the clipped V "
            "instead. A pessimist takes the larger one, `torch.maximum`.",
            "ray-project/ray issue 2233, leggedrobotics/rsl_rl issue 152",
        ),
        Mistake(
            _only_the_clipped,
            "Only the clipped V is used. If V has moved the wrong way by more than the clip, its gradient is 0, and "
            "nothing ever brings it back. Compare with the plain error and keep the larger.",
        ),
        Mistake(
            _around_the_return,
            "Your clip changes nothing. It must hold V near its OLD value; if you clipped V - R, the way to the "
            "return: that can never make the error larger.",
            "kscalelabs/ksim pull request 3, found in its review",
        ),
        Mistake(
            _as_a_ratio,
            "You clipped a ratio V / V_old. Values are no probabilities: they may be negative or zero. The clip bounds "
            "the difference V - V_old.",
        ),
        Mistake(
            _the_value_itself,
            "You clipped V itself to [-clip, clip]. What is limited is how far V has moved since the rollout: "
            "V_old + (V - V_old) clipped.",
        ),
        Mistake(
            _half_forgotten_in_one,
            "The 1/2 stands in front of the plain error only, so the clipped one counts twice and nearly always wins. "
            "Multiply by 1/2 at the very end.",
        ),
        *written(value_loss),
    ],
    hints=[
        "Without a clip this is half a squared error, one number for each sample.",
        "With a clip, make a second V: the old one plus the movement, the movement held between -clip and clip.",
        "near = values_old + (values - values_old).clamp(-clip, clip); then 0.5 * torch.maximum of the two squares.",
    ],
)


# ---- 08.entropy --------------------------------------------------------------


def entropy(logits):
    """-sum_a pi(a) log pi(a), in nats: (..., A) logits -> (...)."""
    logp = torch.log_softmax(logits, -1)
    return -(logp.exp() * logp).sum(-1)


def _entropy_cases():
    g = torch.Generator().manual_seed(5)
    rows = [[0.0, 0.0, 0.0, 0.0], [2.0, 0.0], [800.0, 799.0, -800.0], [[1.0, 2.0, 3.0], [-1.0, 0.0, 5.0]]]
    cases = [(torch.tensor(row).double(),) for row in rows]
    for shape, dtype in (((5, 4), torch.float64), ((2, 3, 6), torch.float64), ((7, 2), torch.float32)):
        cases.append((2 * torch.randn(*shape, generator=g, dtype=dtype),))
    return cases


def _undecided(fn):
    """If all A actions are equally likely, the entropy is log A, the largest there is."""
    for size in (2, 4, 7):
        case = (torch.full((size,), 3.0, dtype=torch.float64),)
        close(fn(*case), torch.tensor(float(size)).log(), case=case)


def _decided(fn):
    """If one action is certain, the entropy is 0."""
    case = (torch.tensor([1000.0, 0.0, 0.0]).double(),)
    close(fn(*case), 0.0, case=case)


def _shifted(fn):
    """The same number added to all logits changes no probability, so it must not change the entropy."""
    logits = torch.tensor([0.3, -1.0, 2.0]).double()
    close(fn(logits + 50), -(torch.softmax(logits, -1) * torch.log_softmax(logits, -1)).sum(), case=(logits + 50,))


def _no_minus(logits):
    logp = torch.log_softmax(logits, -1)
    return (logp.exp() * logp).sum(-1)


def _mean_over_actions(logits):
    logp = torch.log_softmax(logits, -1)
    return -(logp.exp() * logp).mean(-1)


def _unweighted(logits):
    return -torch.log_softmax(logits, -1).mean(-1)


def _log_of_the_softmax(logits):
    p = torch.softmax(logits, -1)
    return -(p * p.log()).sum(-1)


def _in_bits(logits):
    logp = torch.log_softmax(logits, -1)
    return -(logp.exp() * logp).sum(-1) / torch.log(torch.tensor(2.0, dtype=logits.dtype))


def _of_the_logits(logits):
    return -(torch.softmax(logits, -1) * logits).sum(-1)


ENTROPY = Exercise(
    id="08.entropy",
    title="The entropy of a softmax policy",
    solution=entropy,
    cases=_entropy_cases,
    properties=[_undecided, _decided, _shifted],
    gradient=True,
    mistakes=[
        Mistake(
            _no_minus,
            "The minus is missing: log π is never positive, so the sum of π log π is never positive either. Entropy is "
            "its opposite, between 0 and log A. Subtracted from a loss, yours would punish curiosity.",
            "DLR-RM/stable-baselines3 issue 127, zhangchuheng123/Reinforcement-Implementation issue 2",
        ),
        Mistake(
            _mean_over_actions,
            "You averaged over the actions. The probabilities are weights that sum to 1 already: sum.",
        ),
        Mistake(
            _unweighted,
            "Every action counts the same in yours. An action that is never taken must not count: weigh -log π(a) with "
            "π(a), then sum.",
        ),
        Mistake(
            _log_of_the_softmax,
            "Far apart logits make NaN: `exp(800)` is inf, and where a probability underflows to 0, 0 * -inf is NaN. "
            "Take `log_softmax` of the logits, and get the probabilities from it with `exp`.",
        ),
        Mistake(
            _in_bits,
            "This is the entropy in bits (logarithm to base 2). The course, like the papers, counts in nats: the "
            "natural logarithm, log 4 = 1.386 for four equal actions.",
        ),
        Mistake(
            _of_the_logits,
            "Logits are not log-probabilities: they may all be shifted by the same number. Normalise them first, with "
            "`log_softmax`.",
        ),
    ],
    hints=[
        "The mean of -log π(a), where a is drawn from π itself.",
        "Get log π from the logits with `torch.log_softmax(logits, -1)` and π with `.exp()`.",
        "logp = torch.log_softmax(logits, -1); the answer is -(logp.exp() * logp).sum(-1).",
    ],
)
