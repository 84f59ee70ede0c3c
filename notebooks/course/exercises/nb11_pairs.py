"""Notebook 11: from a ranking to pairs, and from the scores of a pair to a loss (Bradley and Terry)."""

from __future__ import annotations

import itertools
import math

import torch
from torch.nn.functional import logsigmoid

from ..check.spec import Exercise, Mistake, close, require

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


def _neighbours(order):
    return list(itertools.pairwise(order))


def _best_against_the_rest(order):
    return [(order[0], worse) for worse in order[1:]]


def _best_and_worst(order):
    return [(order[0], order[-1])] if len(order) > 1 else []


def _worse_first(order):
    return [(worse, better) for better, worse in itertools.combinations(order, 2)]


def _both_ways(order):
    return list(itertools.permutations(order, 2))


def _places(order):
    return list(itertools.combinations(range(len(order)), 2))


def _sorted(order):
    return list(itertools.combinations(sorted(order), 2))


def _as_ranks(order):
    return [(i, j) for i in range(len(order)) for j in range(len(order)) if order[i] < order[j]]


def _with_itself(order):
    return list(itertools.combinations_with_replacement(order, 2))


PAIRS = Exercise(
    id="11.pairs_from_ranking",
    title="From a ranking to pairs",
    solution=pairs_from_ranking,
    cases=_rankings,
    properties=[_never_itself, _how_many],
    mistakes=[
        Mistake(
            _neighbours,
            "Only neighbours are paired. B is above A too, though D stands between them: of B > D > A > C you keep "
            "3 pairs of 6.",
        ),
        Mistake(_best_against_the_rest, "Only the best reply meets the others. That D is above A is lost."),
        Mistake(
            _best_and_worst,
            "One pair, the best and the worst. A format with one chosen and one rejected reply can hold no more; a "
            "ranking of four holds six.",
            "hiyouga/ChatGLM-Efficient-Tuning issue 152",
        ),
        Mistake(_worse_first, "The better one stands first in a pair. Yours would teach the model to like the worst."),
        Mistake(_both_ways, "Each pair stands there twice, once the wrong way round: the two cancel each other."),
        Mistake(_places, "You return places in the ranking (0, 1, ...). Return what stands at these places."),
        Mistake(_sorted, "Do not sort: the order IS the ranking. Sorted, the best would always be A, or 0."),
        Mistake(
            _as_ranks,
            "You read order[i] as the rank of reply i. It is the other way round: order[0] is the NAME of the best.",
        ),
        Mistake(_with_itself, "A reply is not better than itself: begin the second loop one place later."),
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
    (slope,) = torch.autograd.grad(fn(leaf, rejected).sum(), leaf)
    close(slope, torch.sigmoid(chosen - rejected) - 1, case=(chosen, rejected))


def _far_apart(fn):
    """A pair that the model gets wrong by 100 costs 100, in float32 too: not infinity."""
    chosen, rejected = torch.tensor([0.0]), torch.tensor([100.0])
    got = fn(chosen, rejected)
    mistake = "" if got.isfinite().all() else "_log_of_sigmoid"
    close(got, [100.0], case=(chosen, rejected), mistake=mistake)


def _log_of_sigmoid(chosen, rejected):
    return -torch.log(torch.sigmoid(chosen - rejected))


def _swapped(chosen, rejected):
    return -logsigmoid(rejected - chosen)


def _objective(chosen, rejected):
    return logsigmoid(chosen - rejected)


def _each_by_itself(chosen, rejected):
    return -logsigmoid(chosen) - logsigmoid(-rejected)


def _strengths(chosen, rejected):
    return -torch.log(chosen / (chosen + rejected))


def _probability_of_error(chosen, rejected):
    return 1 - torch.sigmoid(chosen - rejected)


def _hinge(chosen, rejected):
    return (1 - (chosen - rejected)).clamp(min=0)


def _difference_alone(chosen, rejected):
    return rejected - chosen


def _logs_subtracted(chosen, rejected):
    return logsigmoid(rejected) - logsigmoid(chosen)


def _in_bits(chosen, rejected):
    return -logsigmoid(chosen - rejected) / math.log(2)


LOSS = Exercise(
    id="11.bradley_terry_loss",
    title="The Bradley-Terry loss",
    solution=bradley_terry_loss,
    cases=_score_cases,
    properties=[_only_differences, _no_idea_costs_log_two, _slope, _far_apart],
    gradient=True,
    mistakes=[
        Mistake(
            _log_of_sigmoid,
            "The formula is right, the float is too small for it: in float32 σ(-100) is 0, and its logarithm minus "
            "infinity. log(1 + exp(...)) overflows in the same place. Use `logsigmoid`, which does it in one step.",
            "deepspeedai/DeepSpeedExamples issue 423, OpenRLHF/OpenRLHF pull request 1278",
        ),
        Mistake(_swapped, "The difference is the wrong way round: your loss is small when the REJECTED reply scores."),
        Mistake(_objective, "log σ is what goes up. A loss goes down: put a minus in front."),
        Mistake(
            _each_by_itself,
            "Here every reply is labelled good or bad by itself, so scores are no longer free to shift. People said "
            "which of two is better, not that either is good: take σ of the difference.",
            "lucidrains/PaLM-rlhf-pytorch issue 22",
        ),
        Mistake(
            _strengths,
            "chosen / (chosen + rejected) is for strengths, which are positive. A score is the logarithm of a "
            "strength: exp of both, and the fraction becomes σ(chosen - rejected).",
        ),
        Mistake(_probability_of_error, "That is the probability of the other choice. Take -log of the choice made."),
        Mistake(
            _hinge,
            "A hinge stops caring once the difference is 1. The likelihood of a choice never does: -log σ(difference).",
        ),
        Mistake(
            _difference_alone,
            "The difference alone has no bottom: scores would fly apart for ever. Put it through -log σ.",
        ),
        Mistake(
            _logs_subtracted,
            "log σ(chosen) - log σ(rejected) is not log σ(chosen - rejected). Subtract the scores first.",
        ),
        Mistake(_in_bits, "This counts in bits (logarithm to base 2); the course counts in nats."),
    ],
    hints=[
        "How probable did the model find the choice that the person made? The loss is minus the logarithm of that.",
        "The probability is σ(chosen - rejected), with σ(d) = 1 / (1 + exp(-d)).",
        "`-torch.nn.functional.logsigmoid(chosen - rejected)`",
    ],
)
