"""best_constant_baseline: the constant baseline with the least noise."""

import torch

from ..check.spec import Exercise, close, require


def best_constant_baseline(scores, returns):
    """The constant b for which the mean of |score * (return - b)|^2 is smallest: (N, D), (N,) -> one number."""
    lengths = scores.square().sum(-1)  # (N,): |score|^2
    return (lengths * returns).sum() / lengths.sum()


def cases():
    g = torch.Generator().manual_seed(4)

    def batch(n, size, dtype=torch.float64):
        scores = torch.randn(n, size, generator=g, dtype=dtype) * torch.rand(n, 1, generator=g, dtype=dtype) * 3
        return scores, torch.randn(n, generator=g, dtype=dtype) * 5 - 7

    two = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([0.0, 5.0]).double()
    return [two, batch(3, 2), batch(4, 4), batch(50, 8), batch(20, 3, torch.float32)]


def same_length(fn):
    scores, returns = torch.eye(4).double() * 2, torch.tensor([1.0, 2.0, 3.0, 10.0]).double()
    close(fn(scores, returns), 4.0, case=(scores, returns))


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


EXERCISE = Exercise(solution=best_constant_baseline, cases=cases, check_dtype=False)
