"""Notebook 11: from a ranking to pairs, and from the scores of a pair to a loss (Bradley and Terry)."""

from __future__ import annotations

import math

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited

# ---- 11.pairs_from_ranking ---------------------------------------------------


def pairs_from_ranking(order):
    """Every (better, worse) pair of a ranking, the best first."""
    return [(better, worse) for i, better in enumerate(order) for worse in order[i + 1 :]]


def _rankings():
    return [(["B", "D", "A", "C"],), ([1, 3, 0, 2],), ([7],), ([5, 2],), ([4, 0, 8, 1, 6],), (["z", "y", "x"],)]


def _how_many(fn):
    """K replies give K(K - 1)/2 pairs: each two of them meet once."""
    for k in (2, 4, 9):
        order = list(range(k))[::-1]
        got = len(fn(order))
        require(got == k * (k - 1) // 2, f"Of {k} replies yours makes {got} pairs.", case=(order,), got=fn(order))


def _never_itself(fn):
    """No reply is compared with itself."""
    require(all(a != b for a, b in fn([3, 1, 2])), case=([3, 1, 2],), got=fn([3, 1, 2]))


def _best_first(fn):
    """First all pairs with the best one, then all further pairs with the second, and so on."""
    order = ["B", "D", "A", "C"]
    got = [tuple(pair) for pair in fn(order)]
    want = pairs_from_ranking(order)
    require(
        sorted(got) != sorted(want) or got == want, "The pairs are right, and in another order.", case=(order,), got=got
    )


def _as_ranks(order):
    return [(i, j) for i in range(len(order)) for j in range(len(order)) if order[i] < order[j]]


PAIRS = Exercise(
    id="11.pairs_from_ranking",
    title="From a ranking to pairs",
    solution=pairs_from_ranking,
    cases=_rankings,
    properties=[_never_itself, _how_many, _best_first],
    mistakes=[
        Mistake(
            edited(pairs_from_ranking, {"[i + 1 :]": "[i + 1 : i + 2]"}, "_neighbours"),
            "Only neighbours are paired. B is above A too, though D stands between them: of B > D > A > C you keep "
            "3 pairs of 6.",
        ),
        Mistake(
            edited(pairs_from_ranking, {"enumerate(order)": "enumerate(order[:1])"}, "_best_against_the_rest"),
            "Only the best reply meets the others. That D is above A is lost. Does `return` stand in the loop?",
        ),
        Mistake(
            edited(
                pairs_from_ranking,
                {"enumerate(order)": "enumerate(order[:1])", "[i + 1 :]": "[1:][-1:]"},
                "_best_and_worst",
            ),
            "One pair, the best and the worst. A format with one chosen and one rejected reply can hold no more; a "
            "ranking of four holds six.",
            "hiyouga/ChatGLM-Efficient-Tuning issue 152",
        ),
        Mistake(
            edited(pairs_from_ranking, {"[(better, worse)": "[(worse, better)"}, "_worse_first"),
            "The better one stands first in a pair. Yours would teach the model to like the worst.",
        ),
        Mistake(
            edited(pairs_from_ranking, {"order[i + 1 :]": "order[:i] + order[i + 1 :]"}, "_both_ways"),
            "Each pair stands there twice, once the wrong way round: the two cancel each other.",
        ),
        Mistake(
            edited(pairs_from_ranking, {"in order[i + 1 :]": "in order if better < worse"}, "_names_compared"),
            "You compare the names. They say nothing: who stands further to the left is better.",
        ),
        Mistake(
            edited(pairs_from_ranking, {"[(better, worse)": "[(i, order.index(worse))"}, "_places"),
            "You return places in the ranking (0, 1, ...). Return what stands at these places.",
        ),
        Mistake(
            edited(
                pairs_from_ranking,
                {"enumerate(order)": "enumerate(sorted(order))", "order[i + 1 :]": "sorted(order)[i + 1 :]"},
                "_sorted",
            ),
            "Do not sort: the order IS the ranking. Sorted, the best would always be A, or 0.",
        ),
        Mistake(
            _as_ranks,
            "You read order[i] as the rank of reply i. It is the other way round: order[0] is the NAME of the best.",
        ),
        Mistake(
            edited(pairs_from_ranking, {"i + 1 :": "i:"}, "_with_itself"),
            "A reply is not better than itself: begin the second loop one place later.",
        ),
    ],
    hints=[
        "Take the first of the list: it is better than everything after it. Then the second, and so on.",
        "Two loops: over i, and over the places after i. The pair is (order[i], order[j]).",
        "[(order[i], order[j]) for i in range(len(order)) for j in range(i + 1, len(order))]",
    ],
)

# ---- 11.bradley_terry_loss ---------------------------------------------------


def bradley_terry_loss(chosen, rejected):
    """-log sigma(chosen - rejected), one number for each pair."""
    return -torch.nn.functional.logsigmoid(chosen - rejected)


def _score_cases():
    g = torch.Generator().manual_seed(11)
    rows = [([1.0, 0.0], [0.0, 0.0]), ([0.0], [2.0]), ([-3.0, 5.0, 0.5], [-3.5, 5.5, -0.5])]
    cases = [tuple(torch.tensor(x).double() for x in row) for row in rows]
    cases += [tuple(2 * torch.randn(2, 7, generator=g, dtype=torch.float64)), tuple(torch.randn(2, 3, 4, generator=g))]
    return [*cases, (torch.tensor([0.0, 30.0, -100.0]), torch.tensor([100.0, 0.0, 100.0]))]  # float32, far apart


def _only_differences(fn):
    """Only the difference counts: the same number added to both scores changes nothing."""
    chosen, rejected = _score_cases()[2]
    close(fn(chosen + 5, rejected + 5), fn(chosen, rejected), case=(chosen + 5, rejected + 5))


def _no_idea_costs_log_two(fn):
    """Equal scores say fifty-fifty: the loss is log 2 = 0.693."""
    same = torch.tensor([0.3]).double()
    close(fn(same, same), [math.log(2)], case=(same, same))


def _slope(fn):
    """The slope in the chosen score is -(1 - σ(difference)): the surer and righter the model, the smaller the pull."""
    chosen, rejected = _score_cases()[3]
    leaf = chosen.clone().requires_grad_(True)
    loss = fn(leaf, rejected)
    require(
        loss.requires_grad,
        "Yours has no slope: `.detach()`, `.item()` or `torch.no_grad()` cuts it off.",
        case=(chosen, rejected),
    )
    (slope,) = torch.autograd.grad(loss.sum(), leaf)
    close(slope, torch.sigmoid(chosen - rejected) - 1, case=(chosen, rejected))


def _far_apart(fn):
    """A pair that the model gets wrong by 100 costs 100, by 200 costs 200, in float32 too: not infinity."""
    case = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([100.0, 200.0, 300.0])
    got = fn(*case)
    mistake = "_log_of_sigmoid" if not got.isfinite().all() else "_cut_off" if got[1] == got[2] else ""
    close(got, case[1], case=case, mistake=mistake)


RIGHT = "-torch.nn.functional.logsigmoid(chosen - rejected)"


def _as(name, expression):
    return edited(bradley_terry_loss, {RIGHT: expression}, name)


LOSS = Exercise(
    id="11.bradley_terry_loss",
    title="The Bradley-Terry loss",
    solution=bradley_terry_loss,
    cases=_score_cases,
    properties=[_only_differences, _no_idea_costs_log_two, _slope, _far_apart],
    gradient=True,
    mistakes=[
        Mistake(
            _as("_log_of_sigmoid", "-torch.log(torch.sigmoid(chosen - rejected))"),
            "The formula is right, the float is too small for it: in float32 σ(-100) is 0, and its logarithm minus "
            "infinity. log(1 + exp(...)) overflows in the same place. Use `logsigmoid`, which does it in one step.",
            "deepspeedai/DeepSpeedExamples issue 423, OpenRLHF/OpenRLHF pull request 1278",
        ),
        Mistake(
            _as("_cut_off", "-(torch.sigmoid(chosen - rejected) + 1e-8).log()"),
            "The loss is cut off: a pair that is wrong by more costs no more, and has no slope. A small number inside "
            "the logarithm does that, a clamp, and `binary_cross_entropy` at 100. `logsigmoid` needs no such help.",
        ),
        Mistake(
            _as("_swapped", "-torch.nn.functional.logsigmoid(rejected - chosen)"),
            "The difference is the wrong way round: your loss is small when the REJECTED reply scores.",
        ),
        Mistake(
            _as("_objective", "torch.nn.functional.logsigmoid(chosen - rejected)"),
            "log σ is what goes up. A loss goes down: put a minus in front.",
        ),
        Mistake(
            _as(
                "_each_by_itself", "-torch.nn.functional.logsigmoid(chosen) - torch.nn.functional.logsigmoid(-rejected)"
            ),
            "Here every reply is labelled good or bad by itself, so scores are no longer free to shift. People said "
            "which of two is better, not that either is good: take σ of the difference.",
            "lucidrains/PaLM-rlhf-pytorch issue 22",
        ),
        Mistake(
            _as("_strengths", "-torch.log(chosen / (chosen + rejected))"),
            "chosen / (chosen + rejected) is for strengths, which are positive. A score is the logarithm of a "
            "strength: exp of both, and the fraction becomes σ(chosen - rejected).",
        ),
        Mistake(
            _as("_probability_of_error", "1 - torch.sigmoid(chosen - rejected)"),
            "That is the probability of the other choice. Take -log of the choice made.",
        ),
        Mistake(
            _as("_hinge", "(1 - (chosen - rejected)).clamp(min=0)"),
            "A hinge stops caring once the difference is 1. The likelihood of a choice never does: -log σ(difference).",
        ),
        Mistake(
            _as("_difference_alone", "rejected - chosen"),
            "The difference alone has no bottom: scores would fly apart for ever. Put it through -log σ.",
        ),
        Mistake(
            _as(
                "_logs_subtracted", "torch.nn.functional.logsigmoid(rejected) - torch.nn.functional.logsigmoid(chosen)"
            ),
            "log σ(chosen) - log σ(rejected) is not log σ(chosen - rejected). Subtract the scores first.",
        ),
        Mistake(
            _as("_in_bits", "-torch.nn.functional.logsigmoid(chosen - rejected) / math.log(2)"),
            "This counts in bits (logarithm to base 2); the course counts in nats.",
        ),
    ],
    hints=[
        "How probable did the model find the choice that the person made? The loss is minus the logarithm of that.",
        "The probability is σ(chosen - rejected), with σ(d) = 1 / (1 + exp(-d)).",
        "`-torch.nn.functional.logsigmoid(chosen - rejected)`",
    ],
)
