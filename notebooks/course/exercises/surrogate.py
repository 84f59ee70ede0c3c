"""surrogate: what old data says about a new policy."""

import torch

from ..check.spec import Exercise, close


def draw(seed, *shape, dtype=torch.float64):
    """Normal numbers, the same at every call with this seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def surrogate(logp, logp_old, advantages):
    """ratio * advantage, step by step; only logp carries a gradient. (...), (...), (...) -> (...)."""
    ratio = torch.exp(logp - logp_old.detach())  # pi(a|s) / pi_old(a|s)
    return ratio * advantages.detach()


def cases():
    one = tuple(torch.tensor([x], dtype=torch.float64) for x in (-0.7, -1.4, 2.0))
    equal = -draw(0, 3).abs(), -draw(0, 3).abs(), draw(1, 3)  # logp = logp_old: every ratio is 1
    apart = -draw(2, 2, 4).abs(), -draw(3, 2, 4).abs(), draw(4, 2, 4)
    single = *(-draw(seed, 5, dtype=torch.float32).abs() for seed in (5, 6)), draw(7, 5, dtype=torch.float32)
    return [one, equal, apart, single]


def value_at_old(fn):
    logp, same, advantages = cases()[1]
    close(fn(logp, same, advantages), advantages, case=(logp, same, advantages))


def asks_the_new_policy(fn):
    old, new, advantages = torch.log_softmax(draw(8, 4), -1), torch.log_softmax(draw(9, 4), -1), draw(10, 4)
    mean = (old.exp() * fn(new, old, advantages)).sum()
    close(mean, (new.exp() * advantages).sum(), case=(new, old, advantages))


EXERCISE = Exercise(solution=surrogate, cases=cases, gradient=True)
