"""choose_beta: the smallest beta whose runs all stay within a KL budget, chosen before gold is seen."""

import torch  # noqa: F401  mistakes need it

from ..check import Exercise, examples, require, rows


def choose_beta(betas, kls, budget):
    """The smallest beta whose KL is within the budget in every seed; ValueError if there is none."""
    within = (kls <= budget).all(-1)  # (K,); NaN <= budget is False, as it should be
    if not within.any():
        raise ValueError(f"no beta keeps the KL within {budget} nats")
    return betas[within].min().item()


cases = rows("choose_beta")


def every_seed(fn):
    for case in cases()[:-1]:
        betas, kls, budget = case
        got = fn(*case)
        row = kls[(betas - got).abs() < 1e-9]
        require(len(row) == 1, f"{got} is none of the betas.", case=case, got=got)
        fine = (row <= budget).all()
        require(fine, f"The KLs of beta {got:g} are {row[0].tolist()}, the budget is {budget}.", case=case, got=got)


EXERCISE = Exercise(solution=choose_beta, cases=cases, suite=examples("choose_beta"))
