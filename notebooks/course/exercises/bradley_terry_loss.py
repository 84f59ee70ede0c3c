"""bradley_terry_loss: from the scores of a pair to a loss (Bradley and Terry)."""

import math  # noqa: F401  a mistake needs it

import torch

from ..check import Exercise, close, examples, require, rows


def bradley_terry_loss(chosen, rejected):
    """-log sigma(chosen - rejected), one number for each pair."""
    return -torch.nn.functional.logsigmoid(chosen - rejected)


def pair(g, shape, spread=1.0, dtype=torch.float64):
    return tuple(spread * torch.randn(2, *shape, generator=g, dtype=dtype))


cases = rows("bradley_terry_loss", pair)


def slope(fn):
    chosen, rejected = cases()[3]
    leaf = chosen.clone().requires_grad_(True)
    loss = fn(leaf, rejected)
    words = "Yours has no slope: `.detach()`, `.item()` or `torch.no_grad()` cuts it off."
    require(loss.requires_grad, words, case=(chosen, rejected))
    (got,) = torch.autograd.grad(loss.sum(), leaf)
    close(got, torch.sigmoid(chosen - rejected) - 1, case=(chosen, rejected))


def far_apart(fn):
    case = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([100.0, 200.0, 300.0])
    got = fn(*case)
    mistake = "log_of_sigmoid" if not got.isfinite().all() else "cut_off" if got[1] == got[2] else ""
    close(got, case[1], case=case, mistake=mistake)


EXERCISE = Exercise(solution=bradley_terry_loss, cases=cases, gradient=True, suite=examples("bradley_terry_loss"))
