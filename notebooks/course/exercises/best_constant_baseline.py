"""best_constant_baseline: the constant baseline with the least noise."""

import torch

from ..check import Exercise, close, examples, require, rows


def best_constant_baseline(scores, returns):
    """The constant b for which the mean of |score * (return - b)|^2 is smallest: (N, D), (N,) -> one number."""
    lengths = scores.square().sum(-1)  # (N,): |score|^2
    return (lengths * returns).sum() / lengths.sum()


def drawn(g, n, size, dtype=torch.float64):
    scores = torch.randn(n, size, generator=g, dtype=dtype) * torch.rand(n, 1, generator=g, dtype=dtype) * 3
    return scores, torch.randn(n, generator=g, dtype=dtype) * 5 - 7


cases = rows("best_constant_baseline", drawn)


def moves_with_the_returns(fn):
    scores, returns = cases()[1]
    close(fn(scores, returns + 100), fn(scores, returns) + 100, case=(scores, returns + 100))


def lowest(fn):
    for scores, returns in cases()[:4]:
        b = fn(scores, returns)
        require(torch.as_tensor(b).numel() == 1, "Give back one number.", case=(scores, returns), got=b)

        def spread(b, s=scores, r=returns):
            return (s * (r - b)[:, None]).square().sum(-1).mean()

        for other in (b - 0.5, b - 0.05, b + 0.05, b + 0.5):
            words = f"{float(other):.3g} is better than your {float(b):.3g}."
            require(spread(other) >= spread(b) - 1e-9, words, case=(scores, returns), got=b)


EXERCISE = Exercise(
    solution=best_constant_baseline, cases=cases, check_dtype=False, suite=examples("best_constant_baseline")
)
