"""choose_beta: the smallest beta whose runs all stay within a KL budget, chosen before gold is seen."""

import torch

from ..check.spec import Exercise, close, require


def choose_beta(betas, kls, budget):
    """The smallest beta whose KL is within the budget in every seed; ValueError if there is none."""
    within = (kls <= budget).all(-1)  # (K,); NaN <= budget is False, as it should be
    if not within.any():
        raise ValueError(f"no beta keeps the KL within {budget} nats")
    return betas[within].min().item()


def _sweep(betas, rows, budget):
    return torch.tensor(betas).double(), torch.tensor(rows).double(), budget


NAN = float("nan")


def cases():
    five = [0.005, 0.02, 0.05, 0.1, 0.3]
    rows = [[18.0, 21.0, 19.0], [8.0, 8.5, 7.9], [4.7, 4.3, 4.6], [3.5, 3.4, 3.3], [1.9, 1.8, 2.0]]
    mixed = [[3.5, 3.4, 3.3], [18.0, 21.0, 19.0], [1.9, 1.8, 2.0], [8.0, 8.5, 7.9], [4.7, 4.3, 4.6]]
    return [
        _sweep([0.1], [[3.0]], 4.0),
        _sweep([0.1, 0.3], [[6.0], [2.0]], 4.0),
        _sweep(five, rows, 4.0),
        _sweep(five, rows, 4.65),
        _sweep(five, rows, 8.0),
        _sweep([0.1, 0.005, 0.3, 0.02, 0.05], mixed, 5.0),
        _sweep([0.0, 0.1, 0.3], [[52.0, NAN], [3.5, NAN], [1.9, 2.0]], 4.0),
        _sweep([0.3, 0.1], [[1.9, 2.0], [4.0, 3.0]], 4.0),
        _sweep([0.02, 0.1, 0.3], [[9.0, 8.0, 3.0], [9.0, 3.0, 2.0], [3.9, 3.0, 2.0]], 4.0),
        _sweep([0.05, 0.1, 0.02], [[3.0, 2.9], [3.4, 3.5], [8.0, 1.0]], 4.0),  # noise: the KL does not fall with beta
        _sweep([0.02, 0.1], [[9.0, 8.0], [3.0, 5.0]], 4.0),  # none
    ]


def every_seed(fn):
    for case in cases()[:-1]:
        betas, kls, budget = case
        got = fn(*case)
        row = kls[(betas - got).abs() < 1e-9]
        require(len(row) == 1, f"{got} is none of the betas.", case=case, got=got)
        fine = (row <= budget).all()
        require(fine, f"The KLs of beta {got:g} are {row[0].tolist()}, the budget is {budget}.", case=case, got=got)


def order_does_not_matter(fn):
    betas, kls, budget = cases()[2]
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        case = betas[order], kls[order], budget
        close(fn(*case), fn(betas, kls, budget), case=case)


EXERCISE = Exercise(solution=choose_beta, cases=cases)
