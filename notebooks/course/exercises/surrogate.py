"""surrogate: what old data says about a new policy."""

import torch

from ..check import Exercise, close, examples, rows


def draw(seed, *shape, dtype=torch.float64):
    """Normal numbers, the same at every call with this seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def surrogate(logp, logp_old, advantages):
    """ratio * advantage, step by step; only logp carries a gradient. (...), (...), (...) -> (...)."""
    ratio = torch.exp(logp - logp_old.detach())  # pi(a|s) / pi_old(a|s)
    return ratio * advantages.detach()


cases = rows("surrogate")


def asks_the_new_policy(fn):
    old, new, advantages = torch.log_softmax(draw(8, 4), -1), torch.log_softmax(draw(9, 4), -1), draw(10, 4)
    mean = (old.exp() * fn(new, old, advantages)).sum()
    close(mean, (new.exp() * advantages).sum(), case=(new, old, advantages))


EXERCISE = Exercise(solution=surrogate, cases=cases, suite=examples("surrogate"), gradient=True)
