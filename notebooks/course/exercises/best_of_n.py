"""best_of_n: sample n replies, keep the one that the reward model likes best; what is it worth?"""

import torch

from ..check import Exercise, close, rows


def best_of_n(scores, worth, n):
    """Mean score and mean worth of the best-scored reply of n, over all whole groups of n of every prompt."""
    whole = scores.shape[1] // n * n  # what is left over does not make a group
    scores, worth = (x[:, :whole].reshape(-1, n) for x in (scores, worth))  # (P * groups, n)
    best = scores.argmax(-1, keepdim=True)
    return scores.gather(-1, best).mean(), worth.gather(-1, best).mean()


def _random(P, N, seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    quality = torch.randn(P, 1, generator=g, dtype=dtype)  # some questions are easier than others
    worth = quality + torch.randn(P, N, generator=g, dtype=dtype)
    return 0.6 * worth + 0.5 * torch.randn(P, N, generator=g, dtype=dtype), worth


cases = rows("best_of_n", lambda n, **what: (*_random(**what), n))


def one_is_the_mean(fn):
    scores, worth = _random(4, 6, 6)
    close(fn(scores, worth, 1), (scores.mean(), worth.mean()), case=(scores, worth, 1))


def score_grows(fn):
    scores, worth = _random(20, 16, 7)
    curve = [float(fn(scores, worth, n)[0]) for n in (1, 2, 4, 8, 16)]
    close(sorted(curve), curve, case=(scores, worth, 16))


def worth_has_no_say(fn):
    scores, worth = _random(5, 8, 8)
    close(fn(scores, -worth, 4)[1], -fn(scores, worth, 4)[1], case=(scores, -worth, 4))


def the_rest_is_unused(fn):
    scores, worth = _random(4, 7, 9)
    wild = scores + 50.0 * (torch.arange(7) == 6)
    close(fn(wild, worth, 3), fn(scores, worth, 3), case=(wild, worth, 3))


EXERCISE = Exercise(solution=best_of_n, cases=cases)
