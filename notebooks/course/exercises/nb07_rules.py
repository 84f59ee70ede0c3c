"""Exercise 07.adaptive_beta: the rule of the PPO paper, with its dead zone."""

from __future__ import annotations

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written


def adaptive_beta(beta, kl, target):
    """The next beta: half if the KL fell below target / 1.5, double if it rose above 1.5 * target, else the same."""
    if kl < target / 1.5:
        return beta / 2
    if kl > 1.5 * target:
        return beta * 2
    return beta


NINE = (0.0, 0.4, 0.5, 0.6, 0.75, 1.0, 1.125, 1.2, 3.0)  # with target 0.75 the edges, 0.5 and 1.125, are exact numbers
FACTORS = (0.5, 0.5, 1, 1, 1, 1, 1, 2, 2)


def _nine_cases():
    return [(beta, kl, 0.75) for beta, kl in zip((1.0, 2.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0, 0.25), NINE)]


def _keeps_inside(fn):
    """Between target / 1.5 and 1.5 * target, edges included, beta stays as it is."""
    for case in _nine_cases()[2:7]:
        close(fn(*case), case[0], case=case)


def _scales_with_beta(fn):
    """What beta is multiplied with depends on the KL and the target alone."""
    for kl in (0.001, 0.011, 0.05):
        factor = fn(1.0, kl, 0.01)
        close(fn(8.0, kl, 0.01), 8 * factor, case=(8.0, kl, 0.01))


def _only_three_factors(fn):
    """However far off the KL is, beta changes by a factor of two at most."""
    for kl in (1e-6, 100.0):
        case = (1.0, kl, 0.01)
        require(0.4999 < float(fn(*case)) < 2.0001, case=case, got=fn(*case))


def _one_threshold(beta, kl, target):
    return beta / 2 if kl < 1.5 * target else beta * 2


def _no_dead_zone(beta, kl, target):
    return beta / 2 if kl < target else beta * 2


def _swapped(beta, kl, target):
    if kl < target / 1.5:
        return beta * 2
    return beta / 2 if kl > 1.5 * target else beta


def _by_one_and_a_half(beta, kl, target):
    if kl < target / 1.5:
        return beta / 1.5
    return beta * 1.5 if kl > 1.5 * target else beta


def _another_library(beta, kl, target):
    if kl > 2 * target:
        return beta * 1.5
    return beta * 0.5 if kl < 0.5 * target else beta


def _half_a_zone(beta, kl, target):
    if kl < target:
        return beta / 2
    return beta * 2 if kl > 1.5 * target else beta


def _edges_two(beta, kl, target):
    if kl < target / 2:
        return beta / 2
    return beta * 2 if kl > 2 * target else beta


def _never_lowers(beta, kl, target):
    return beta * 2 if kl > 1.5 * target else beta


def _proportional(beta, kl, target):
    return beta * (1 + min(max(kl / target - 1, -0.2), 0.2))


RULE = Exercise(
    id="07.adaptive_beta",
    title="The paper's rule for beta",
    solution=adaptive_beta,
    cases=_nine_cases,
    properties=[_keeps_inside, _scales_with_beta, _only_three_factors],
    mistakes=[
        Mistake(
            _one_threshold,
            "One threshold, 1.5 * target, does both jobs here. So beta falls even when the KL is 1.4 times too large, "
            "and it changes at every update. Going down starts at target DIVIDED by 1.5.",
            "a popular tutorial on PPO",
        ),
        Mistake(
            _no_dead_zone,
            "There is no dead zone: a KL that hits the target exactly still changes beta. Leave it alone between "
            "target / 1.5 and 1.5 * target.",
        ),
        Mistake(
            _swapped,
            "Up and down are swapped. The policy moved too far: then distance has to cost more, so beta goes up.",
        ),
        Mistake(_by_one_and_a_half, "1.5 is for the edges of the dead zone. beta itself changes by a factor of 2."),
        Mistake(
            _another_library,
            "This is a rule of one library, not of the paper: it acts above 2 * target (times 1.5) and below half of "
            "it (times 0.5), so beta falls faster than it rises.",
            "ai.stackexchange question 28728, about RLlib",
        ),
        Mistake(
            _half_a_zone,
            "The dead zone has two sides. You halve as soon as the KL is below the target; wait for target / 1.5.",
        ),
        Mistake(_edges_two, "The edges are too wide: 1.5 belongs to the edges, 2 to the change of beta."),
        Mistake(_never_lowers, "beta only ever rises here. When the KL is too small, the policy stands still: halve."),
        Mistake(
            _proportional,
            "That is the controller of Ziegler et al. (2019), about another KL. The paper's rule knows three factors: "
            "1/2, 1 and 2.",
        ),
        *written(adaptive_beta),
    ],
    hints=[
        "Three answers are possible: half, the same, double. Which KL gives which?",
        "A KL that is too small means the price is too high, so halve it. Too small means below `target / 1.5`.",
        "`if kl < target / 1.5: return beta / 2`, then the other side with `1.5 * target`, then `return beta`.",
    ],
)
