"""Notebook 03: the constant baseline that leaves the least noise."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written

# ---- 03.best_constant_baseline -----------------------------------------------


def best_constant_baseline(scores, returns):
    """The constant b for which the mean of |score * (return - b)|^2 is smallest: (N, D), (N,) -> one number."""
    lengths = scores.square().sum(-1)  # (N,): |score|^2
    return (lengths * returns).sum() / lengths.sum()


def _constant_cases():
    g = torch.Generator().manual_seed(4)

    def batch(n, size, dtype=torch.float64):
        scores = torch.randn(n, size, generator=g, dtype=dtype) * torch.rand(n, 1, generator=g, dtype=dtype) * 3
        return scores, torch.randn(n, generator=g, dtype=dtype) * 5 - 7

    two = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([0.0, 5.0]).double()
    return [two, batch(3, 2), batch(4, 4), batch(50, 8), batch(20, 3, torch.float32)]


def _same_length(fn):
    """If all scores have the same length, the best constant is the mean return."""
    scores, returns = torch.eye(4).double() * 2, torch.tensor([1.0, 2.0, 3.0, 10.0]).double()
    close(fn(scores, returns), 4.0, case=(scores, returns))


def _moves_with_the_returns(fn):
    """If every return rises by 100, the best constant rises by 100."""
    scores, returns = _constant_cases()[1]
    close(fn(scores, returns + 100), fn(scores, returns) + 100, case=(scores, returns + 100))


def _lowest(fn):
    """No other constant may give a smaller mean of |score * (return - b)|^2."""
    for scores, returns in _constant_cases()[:4]:
        b = fn(scores, returns)
        require(torch.as_tensor(b).numel() == 1, "Give back one number.", case=(scores, returns), got=b)

        def spread(b, s=scores, r=returns):
            return (s * (r - b)[:, None]).square().sum(-1).mean()

        for other in (b - 0.5, b - 0.05, b + 0.05, b + 0.5):
            words = f"{float(other):.3g} is better than your {float(b):.3g}."
            require(spread(other) >= spread(b) - 1e-9, words, case=(scores, returns), got=b)


def _mean_return(scores, returns):
    return returns.mean()


def _median_return(scores, returns):
    return returns.quantile(0.5)


def _not_squared(scores, returns):
    lengths = scores.square().sum(-1).sqrt()
    return (lengths * returns).sum() / lengths.sum()


def _signed_scores(scores, returns):
    return (scores.sum(-1) * returns).sum() / scores.sum()


def _not_divided(scores, returns):
    return (scores.square().sum(-1) * returns).mean()


def _weighs_both(scores, returns):
    lengths = scores.square().sum(-1)
    return (lengths * returns.square()).sum() / (lengths * returns).sum()


def _one_for_each_entry(scores, returns):
    squares = scores.square()
    return (squares * returns[:, None]).sum(0) / squares.sum(0)


CONSTANT = Exercise(
    id="03.best_constant_baseline",
    title="The constant baseline with the least noise",
    solution=best_constant_baseline,
    cases=_constant_cases,
    properties=[_same_length, _moves_with_the_returns, _lowest],
    check_dtype=False,  # a Python float is as good
    mistakes=[
        Mistake(
            _mean_return,
            "This is the plain mean of the returns: the usual choice, and not the best one, as a sample with a long "
            "score makes more noise. If you did weigh them with |score|^2: a column (N, 1) met a row (N,), and the "
            "mean over that table (N, N) is the plain mean again. Keep both (N,).",
        ),
        Mistake(_median_return, "The median ignores how long the scores are. Weigh each return with |score|^2."),
        Mistake(
            _not_squared,
            "You weighed with |score|. The noise goes with its square: differentiate |score|^2 * (return - b)^2.",
        ),
        Mistake(
            _signed_scores, "The entries of a score have both signs and cancel. Square them before you add them up."
        ),
        Mistake(_not_divided, "The weights must sum to one: divide by the sum of |score|^2."),
        Mistake(_weighs_both, "The weights are |score|^2 alone; the returns stand in the numerator once, not squared."),
        Mistake(
            _one_for_each_entry,
            "This is one baseline for each entry of the arrow (it has less noise still, and it is used). Asked for is "
            "one number: sum |score|^2 over the entries first.",
            "MushroomRL/mushroom-rl issue 89, where both forms are explained",
        ),
        *written(best_constant_baseline),
    ],
    hints=[
        "The mean arrow does not depend on b, so the least variance is the least mean of |score|^2 * (return - b)^2.",
        "Set its derivative to zero: sum of |score|^2 * (return - b) = 0.",
        "b is the mean of the returns with the weights `scores.square().sum(-1)`.",
    ],
)
