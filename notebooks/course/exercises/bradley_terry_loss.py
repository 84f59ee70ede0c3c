"""bradley_terry_loss: from the scores of a pair to a loss (Bradley and Terry)."""

import math

import torch

from ..check.spec import Exercise, close, require


def bradley_terry_loss(chosen, rejected):
    """-log sigma(chosen - rejected), one number for each pair."""
    return -torch.nn.functional.logsigmoid(chosen - rejected)


def cases():
    g = torch.Generator().manual_seed(11)
    rows = [([1.0, 0.0], [0.0, 0.0]), ([0.0], [2.0]), ([-3.0, 5.0, 0.5], [-3.5, 5.5, -0.5])]
    few = [tuple(torch.tensor(x).double() for x in row) for row in rows]
    few += [tuple(2 * torch.randn(2, 7, generator=g, dtype=torch.float64)), tuple(torch.randn(2, 3, 4, generator=g))]
    return [*few, (torch.tensor([0.0, 30.0, -100.0]), torch.tensor([100.0, 0.0, 100.0]))]  # float32, far apart


def only_differences(fn):
    """Only the difference counts: the same number added to both scores changes nothing."""
    chosen, rejected = cases()[2]
    close(fn(chosen + 5, rejected + 5), fn(chosen, rejected), case=(chosen + 5, rejected + 5))


def no_idea_costs_log_two(fn):
    """Equal scores say fifty-fifty: the loss is log 2 = 0.693."""
    same = torch.tensor([0.3]).double()
    close(fn(same, same), [math.log(2)], case=(same, same))


def slope(fn):
    """The slope in the chosen score is -(1 - σ(difference)): the surer and righter the model, the smaller the pull."""
    chosen, rejected = cases()[3]
    leaf = chosen.clone().requires_grad_(True)
    loss = fn(leaf, rejected)
    words = "Yours has no slope: `.detach()`, `.item()` or `torch.no_grad()` cuts it off."
    require(loss.requires_grad, words, case=(chosen, rejected))
    (got,) = torch.autograd.grad(loss.sum(), leaf)
    close(got, torch.sigmoid(chosen - rejected) - 1, case=(chosen, rejected))


def far_apart(fn):
    """A pair that the model gets wrong by 100 costs 100, by 200 costs 200, in float32 too: not infinity."""
    case = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([100.0, 200.0, 300.0])
    got = fn(*case)
    mistake = "log_of_sigmoid" if not got.isfinite().all() else "cut_off" if got[1] == got[2] else ""
    close(got, case[1], case=case, mistake=mistake)


EXERCISE = Exercise(
    solution=bradley_terry_loss,
    cases=cases,
    properties=[only_differences, no_idea_costs_log_two, slope, far_apart],
    gradient=True,
)
