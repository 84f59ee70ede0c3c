"""Exercise 05.trpo_step: how long the step may be, and when it is accepted."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from ..check.texts import written
from .nb05_solver import conjugate_gradient, matrix, times
from .nb05_surrogate import draw


def trpo_step(theta, g, matvec, evaluate, delta):
    """The longest natural gradient step with KL <= delta that improves; theta itself if there is none. (P,) -> (P,)."""
    s = conjugate_gradient(matvec, g, 10)  # F s = g
    full = torch.sqrt(2 * delta / (s @ matvec(s))) * s  # 1/2 full F full = delta
    for k in range(10):
        new = theta + 0.8**k * full
        gain, distance = evaluate(new)
        if gain > 0 and distance <= delta:
            return new
    return theta


def _world(seed, n, bend, stretch):
    """theta, g, F v and evaluate of a small world: gain = g·d - bend |d|^2, KL = stretch * 1/2 d F d."""
    theta, g, F = draw(seed, n), draw(seed + 1, n), matrix(seed + 2, n)

    def evaluate(new):
        d = new - theta
        return g @ d - bend * (d @ d), stretch * 0.5 * (d @ F @ d)

    return theta, g, times(F), evaluate


def _step_cases():
    return [
        (*_world(40, 2, 0.0, 0.9), 0.02),  # the full step is accepted
        (*_world(50, 3, 0.0, 1.5), 0.01),  # the KL is larger than its parabola says: shorten
        (*_world(60, 4, 4.0, 0.9), 0.1),  # a long step does not improve: shorten
        (*_world(70, 3, 1e4, 0.9), 0.05),  # no step improves: stay
        (*_world(80, 3, 0.0, 1e3), 0.05),  # every step is too far: stay
        (*_world(20, 3, 3.0, 1.5), 0.1),  # the full step does not improve, and is too far
        (*_world(30, 3, 0.0, 0.64**-8.5), 0.05),  # the tenth try is good
        (*_world(30, 3, 0.0, 0.64**-9.5), 0.05),  # the eleventh would be: stay
        (*_world(90, 4, 0.0, 1.0)[:3], _accept, 0.03),  # any step is accepted, so its direction shows
        (*_world(90, 4, 0.0, 1.0)[:3], _no_gain, 0.03),  # nothing gained: stay
        (*_world(90, 4, 0.0, 1.0)[:3], _all_of_it, 0.03),  # the whole budget may be spent
    ]


def _accept(new):
    return 1.0, 0.0


def _no_gain(new):
    return 0.0, 0.0


def _all_of_it(new):
    return 1.0, 0.03


def _length_is_delta(fn):
    """With everything accepted, half of step · F step must be delta."""
    theta, g, F, delta = draw(90, 4), draw(91, 4), matrix(92, 4), 0.03

    step = fn(theta, g, times(F), _accept, delta) - theta
    close(0.5 * step @ F @ step, delta, case=(theta, g, times(F), _accept, delta), rtol=1e-4)


def _search(theta, full, evaluate, accept, tries=10):
    """The line search with a wrong rule. accept(gain, distance)."""
    for k in range(tries):
        new = theta + 0.8**k * full
        if accept(*evaluate(new)):
            return new
    return theta


def _full(g, matvec, delta):
    s = conjugate_gradient(matvec, g, 10)
    return torch.sqrt(2 * delta / (s @ matvec(s))) * s


def _usual(delta):
    return lambda gain, distance: gain > 0 and distance <= delta


def _no_square_root(theta, g, matvec, evaluate, delta):
    s = conjugate_gradient(matvec, g, 10)
    return _search(theta, 2 * delta / (s @ matvec(s)) * s, evaluate, _usual(delta))


def _no_two(theta, g, matvec, evaluate, delta):
    return _search(theta, _full(g, matvec, delta / 2), evaluate, _usual(delta))


def _along_g(theta, g, matvec, evaluate, delta):
    return _search(theta, torch.sqrt(2 * delta / (g @ matvec(g))) * g, evaluate, _usual(delta))


def _euclidean_length(theta, g, matvec, evaluate, delta):
    s = conjugate_gradient(matvec, g, 10)
    return _search(theta, torch.sqrt(2 * delta / (s @ s)) * s, evaluate, _usual(delta))


def _kl_alone(theta, g, matvec, evaluate, delta):
    return _search(theta, _full(g, matvec, delta), evaluate, lambda gain, distance: distance <= delta)


def _gain_alone(theta, g, matvec, evaluate, delta):
    return _search(theta, _full(g, matvec, delta), evaluate, lambda gain, distance: gain > 0)


def _search_without_effect(theta, g, matvec, evaluate, delta):
    return theta + _full(g, matvec, delta)


def _keeps_the_last_try(theta, g, matvec, evaluate, delta):
    new = _search(theta, _full(g, matvec, delta), evaluate, _usual(delta))
    return theta + 0.8**9 * _full(g, matvec, delta) if new is theta else new


def _tries_once(theta, g, matvec, evaluate, delta):
    return _search(theta, _full(g, matvec, delta), evaluate, _usual(delta), tries=1)


def _halves(theta, g, matvec, evaluate, delta):
    full = _full(g, matvec, delta)
    for k in range(10):
        gain, distance = evaluate(theta + 0.5**k * full)
        if gain > 0 and distance <= delta:
            return theta + 0.5**k * full
    return theta


def _goes_down(theta, g, matvec, evaluate, delta):
    return _search(theta, -_full(g, matvec, delta), evaluate, _usual(delta))


STEP = Exercise(
    id="05.trpo_step",
    title="A step of KL delta, checked before it is taken",
    solution=trpo_step,
    cases=_step_cases,
    properties=[_length_is_delta],
    mistakes=[
        Mistake(
            _no_square_root,
            "The square root is missing. KL grows with the square of the length, so the length goes with the root.",
        ),
        Mistake(_no_two, "The 2 is missing: 1/2 length^2 (s F s) = delta gives length = sqrt(2 delta / (s F s))."),
        Mistake(_along_g, "You step along g, the plain gradient. The natural direction is s, which solves F s = g."),
        Mistake(
            _euclidean_length,
            "You measured s with the ruler of the parameters, s · s. The length is measured in KL: s · F s.",
        ),
        Mistake(
            _kl_alone,
            "A step within delta was accepted although it made the surrogate worse. Both must hold: gain > 0 and "
            "KL <= delta.",
        ),
        Mistake(
            _gain_alone,
            "A step was accepted although its true KL is above delta. The length comes from a parabola, and the true "
            "KL may be larger: check it too.",
            "joschu/modular_rl issue 29, zhangchuheng123/Reinforcement-Implementation issue 1",
        ),
        Mistake(
            _search_without_effect,
            "You always take the full step. Return the first one that `evaluate` approves of.",
            "wojzaremba/trpo issue 1: the result of the line search was overwritten by the full step",
        ),
        Mistake(
            _keeps_the_last_try,
            "When no step is good, stay: return theta, not the last try.",
            "thu-ml/tianshou pull request 1287",
        ),
        Mistake(_tries_once, "Only the full step was tried. If it fails, try 0.8 of it, then 0.64, ten times in all."),
        Mistake(_halves, "You halve the step, as much code does. Here each try is 0.8 of the one before: 0.8**k."),
        Mistake(_goes_down, "You step against s. The surrogate is to go UP: theta + step."),
        *written(trpo_step),
    ],
    hints=[
        "Three parts: the direction s from `conjugate_gradient(matvec, g, 10)`, its length, a loop of ten tries.",
        "1/2 (c s) F (c s) = delta gives c = sqrt(2 delta / (s F s)), and F s is `matvec(s)`.",
        "`for k in range(10): new = theta + 0.8**k * full; gain, distance = evaluate(new)`; return new if gain > 0 and "
        "distance <= delta. After the loop return theta.",
    ],
)
