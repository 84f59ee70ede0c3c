"""bradley_terry_loss: from the scores of a pair to a loss (Bradley and Terry)."""

import math

import torch

from ..check.spec import Exercise, close, require


def bradley_terry_loss(chosen, rejected):
    """-log sigma(chosen - rejected), one number for each pair."""
    return -torch.nn.functional.logsigmoid(chosen - rejected)


def cases():
    g = torch.Generator().manual_seed(11)
    rows = [([1.25, 0.0], [0.0, 0.0]), ([0.0], [2.0]), ([-3.0, 5.0, 0.5], [-3.5, 5.5, -0.25])]
    few = [tuple(torch.tensor(x).double() for x in row) for row in rows]
    few += [tuple(2 * torch.randn(2, 7, generator=g, dtype=torch.float64)), tuple(torch.randn(2, 3, 4, generator=g))]
    return [*few, (torch.tensor([0.0, 30.0, -100.0]), torch.tensor([100.0, 0.0, 100.0]))]  # float32, far apart


def only_differences(fn):
    chosen, rejected = cases()[2]
    close(fn(chosen + 5, rejected + 5), fn(chosen, rejected), case=(chosen + 5, rejected + 5))


def no_idea_costs_log_two(fn):
    same = torch.tensor([0.3]).double()
    close(fn(same, same), [math.log(2)], case=(same, same))


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


EXERCISE = Exercise(solution=bradley_terry_loss, cases=cases, gradient=True)
