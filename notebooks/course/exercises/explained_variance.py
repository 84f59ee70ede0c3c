"""explained_variance: how much of the returns does a critic explain?"""

import torch

from ..check import Exercise, close, examples, require


def explained_variance(values, returns):
    """1 - Var(returns - values) / Var(returns): 1 perfect, 0 no better than a constant. (N,), (N,) -> one number."""
    return 1 - (returns - values).var() / returns.var()


def cases():
    g = torch.Generator().manual_seed(1)
    returns = [torch.randn(n, generator=g, dtype=torch.float64) * 3 - 7 for n in (3, 6, 30)]
    noise = [torch.randn(len(r), generator=g, dtype=torch.float64) for r in returns]
    small = torch.tensor([0.0, 1.0, 4.0]).double(), torch.tensor([1.0, 3.0, 5.0]).double()
    worse = -2 * returns[1] + noise[1]
    biased = 0.7 * returns[2] + 4 + noise[2]
    return [small, (returns[0] + 0.3 * noise[0], returns[0]), (worse, returns[1]), (biased, returns[2])]


def a_shift_is_free(fn):
    values, returns = cases()[1]
    close(fn(values + 5, returns), fn(values, returns), case=(values + 5, returns), mistake="counts_the_shift")


def can_be_negative(fn):
    values, returns = cases()[2]
    got = fn(values, returns)
    require(float(got) < 0, case=(values, returns), got=got)


EXERCISE = Exercise(
    solution=explained_variance, cases=cases, atol=1e-06, check_dtype=False, suite=examples("explained_variance")
)
