"""The batches that every library gets: ordinary ones, and those on which trainers have stumbled in public."""

import torch

NAN, INF = float("nan"), float("inf")


def _masked(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def aggregate() -> dict[str, tuple]:
    """{case: (x, mask)}: token losses (B, T)."""
    x = torch.tensor([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0], [6.0, 9.0, 9.0]], dtype=torch.float64)
    ragged = _masked([1, 1, 0], [1, 1, 1], [1, 0, 0])
    ends = torch.where(ragged, x, NAN), torch.where(ragged, x, INF)
    return {
        "replies of 2, 3 and 1 tokens": (x, ragged),
        "one token each": (x, _masked([1, 0, 0], [1, 0, 0], [1, 0, 0])),
        "a reply without a token": (x, _masked([1, 1, 0], [1, 1, 1], [0, 0, 0])),
        "NaN outside the mask": (ends[0], ragged),
        "inf outside the mask": (ends[1], ragged),
    }


def gae() -> dict[str, tuple]:
    """{case: (rewards, values, mask, gamma, lam)}."""
    g = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(3, 6, generator=g, dtype=torch.float64) for _ in range(2))
    ragged = torch.arange(6) < torch.tensor([6, 3, 1])[:, None]
    hole = _masked([1, 1, 0, 0, 1, 1], [1, 0, 0, 0, 0, 1], [1, 1, 1, 0, 1, 0])
    clean = rewards.where(ragged, 0), values.where(ragged, 0)
    return {
        "replies of 6, 3 and 1 tokens": (*clean, ragged, 0.97, 0.9),
        "gamma = lambda = 1": (*clean, ragged, 1.0, 1.0),
        "lambda = 0": (*clean, ragged, 0.97, 0.0),
        "numbers left after the end": (rewards, values, ragged, 0.97, 0.9),
        "NaN after the end": (rewards.where(ragged, NAN), values.where(ragged, NAN), ragged, 0.97, 0.9),
        "a tool's tokens in the middle": (rewards.where(hole, 0), values.where(hole, 0), hole, 0.97, 0.9),
    }


def clip() -> dict[str, tuple]:
    """{case: (logp, logp_old, advantages, mask)}."""
    g = torch.Generator().manual_seed(0)
    ratios = torch.tensor([[0.5, 1.1, 1.5], [0.5, 1.1, 3.5]], dtype=torch.float64)
    old = torch.full_like(ratios, -1.5)
    A = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).expand(2, 3)
    full = torch.ones(2, 3, dtype=torch.bool)
    mask = _masked([1, 1, 0], [1, 0, 0])
    more = torch.randn(2, 3, generator=g, dtype=torch.float64)
    far = torch.full_like(ratios, 22.0)
    return {
        "on policy": (old.clone(), old, more, full),
        "the six cases": (old + ratios.log(), old, A, full),
        "a one-token reply": (old + ratios.log(), old, more, mask),
        "ratio e^22, A < 0": (old + far, old, -torch.ones_like(A), full),
        "NaN outside the mask": tuple(x.where(mask, NAN) for x in (old + ratios.log(), old, more)) + (mask,),
        "a log-probability of -inf outside the mask": ((old + ratios.log()).where(mask, -INF), old, more, mask),
    }


def group() -> dict[str, tuple]:
    """{case: (scores, size of a group)}."""
    double = torch.float64
    return {
        "groups of 4": (torch.tensor([1.0, 3, 2, 5, 0.5, 0.25, 4, 4], dtype=double), 4),
        "eight times 0.9": (torch.full((8,), 0.9), 8),  # float32: the mean of eight times 0.9 is not 0.9
        "scores close together": (torch.tensor([0.5, 0.5002, 0.4999, 0.5001], dtype=double), 4),
        "one right of 8": (torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 0], dtype=double), 8),
        "a group of one": (torch.tensor([2.0, 3.0], dtype=double), 1),
    }
