"""Exercise 12.choose_beta: the smallest beta whose runs all stay within a KL budget, chosen before gold is seen."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited


def choose_beta(betas, kls, budget):
    """The smallest beta whose KL is within the budget in every seed; ValueError if there is none."""
    within = (kls <= budget).all(-1)  # (K,); NaN <= budget is False, as it should be
    if not within.any():
        raise ValueError(f"no beta keeps the KL within {budget} nats")
    return betas[within].min().item()


def _sweep(betas, rows, budget):
    return torch.tensor(betas).double(), torch.tensor(rows).double(), budget


NAN = float("nan")


def _cases():
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


def _every_seed(fn):
    """All seeds of the beta you choose are within the budget."""
    for case in _cases()[:-1]:
        betas, kls, budget = case
        got = fn(*case)
        row = kls[(betas - got).abs() < 1e-9]
        require(len(row) == 1, f"{got} is none of the betas.", case=case, got=got)
        fine = (row <= budget).all()
        require(fine, f"The KLs of beta {got:g} are {row[0].tolist()}, the budget is {budget}.", case=case, got=got)


def _order_does_not_matter(fn):
    """In which order the betas were tried does not matter."""
    betas, kls, budget = _cases()[2]
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        case = betas[order], kls[order], budget
        close(fn(*case), fn(betas, kls, budget), case=case)


WITHIN = "(kls <= budget).all(-1)"
RAISE = 'raise ValueError(f"no beta keeps the KL within {budget} nats")'
SMALLEST = "betas[within].min().item()"


BETA = Exercise(
    id="12.choose_beta",
    title="Choose beta from a KL budget",
    solution=choose_beta,
    cases=_cases,
    properties=[_every_seed, _order_does_not_matter],
    mistakes=[
        Mistake(
            edited(choose_beta, {WITHIN: "kls.mean(-1) <= budget"}, "_mean"),
            "You averaged over the seeds. Your next run is one seed: the worst must fit, not the mean.",
        ),
        Mistake(
            edited(choose_beta, {WITHIN: "kls.nanmean(-1) <= budget"}, "_nanmean"),
            "You averaged over the seeds that did not break. The worst must fit, and a mean that skips NaN skips it.",
        ),
        Mistake(
            edited(choose_beta, {WITHIN: "kls.median(-1).values <= budget"}, "_median"),
            "Most of the seeds, as a median has it, are not enough. Your next run may be the worst: it must fit.",
        ),
        Mistake(
            edited(choose_beta, {"all(-1)": "any(-1)"}, "_any_seed"),
            "One seed within the budget is not enough: `.all(-1)` asks for every one.",
        ),
        Mistake(
            edited(choose_beta, {WITHIN: "kls[:, 0] <= budget"}, "_first_seed"),
            "You looked at the first seed only. Others may have gone further.",
            "quantumiracle/Popular-RL-Algorithms issue 47 asks for more than one",
        ),
        Mistake(
            edited(choose_beta, {".min()": ".max()"}, "_largest"),
            "The largest beta is surely within the budget, and leaves most of it unused. The smallest one that fits "
            "gives the policy the room you granted.",
        ),
        Mistake(
            edited(choose_beta, {".min().item()": "[0].item()"}, "_first"),
            "The first in the list need not be the smallest: betas come in any order.",
        ),
        Mistake(
            edited(choose_beta, {".min().item()": "[-1].item()"}, "_last"),
            "The last in the list need not be the smallest: betas come in any order.",
        ),
        Mistake(
            edited(choose_beta, {WITHIN: "~(kls > budget).any(-1)"}, "_not_above"),
            "A KL of NaN is a run that broke, and yours lets it pass. `kls <= budget` is False for NaN, as it should; "
            "`kls > budget` is False too, and a NaN made 0 fits any budget.",
            "modelscope/ms-swift issue 8378 shows such a KL",
        ),
        Mistake(
            edited(choose_beta, {"(kls <= budget)": "(kls < budget)"}, "_below"),
            "A KL of exactly the budget is within it: `<=`.",
        ),
        Mistake(
            edited(choose_beta, {SMALLEST: "int(betas.where(within, torch.inf).argmin())"}, "_place"),
            "That is the place in the list. Return the beta that stands there, as a number.",
        ),
        Mistake(
            edited(
                choose_beta,
                {SMALLEST: "betas[(kls.amax(-1).nan_to_num(1e9) - budget).abs().argmin()].item()"},
                "_nearest",
            ),
            "The nearest KL may lie above the budget. First keep those within it.",
        ),
        Mistake(
            edited(choose_beta, {SMALLEST: "betas[within][kls[within].mean(-1).argmax()].item()"}, "_largest_kl"),
            "The largest KL within the budget need not be the smallest beta's: runs are noisy. Compare the betas.",
        ),
        Mistake(
            edited(choose_beta, {RAISE: "return betas.max().item()"}, "_anything"),
            "Where no beta fits, you return one all the same. Then somebody trains with it: raise a ValueError.",
        ),
        Mistake(
            edited(choose_beta, {f"if not within.any():\n        {RAISE}\n    ": ""}, "_min_of_nothing"),
            "Where no beta fits, a RuntimeError leaves your function: torch's own, if it is the `min` of nothing. Ask "
            "first whether there is one, and say in a ValueError that there is none.",
        ),
        Mistake(
            edited(choose_beta, {"(kls <= budget)": "(kls >= budget)"}, "_too_far"),
            "You kept the betas OUTSIDE the budget: `<=`, not `>=`.",
        ),
    ],
    hints=[
        "For each beta, one question first: did every seed stay within the budget?",
        "`within = (kls <= budget).all(-1)` is one True or False for each beta. Raise a ValueError if none is True.",
        "`return betas[within].min().item()`",
    ],
)
