"""trpo_step: a step of KL delta, checked before it is taken."""

import torch

from ..check.spec import Exercise, close
from .conjugate_gradient import conjugate_gradient, matrix, times
from .surrogate import draw


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


def cases():
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


def length_is_delta(fn):
    theta, g, F, delta = draw(90, 4), draw(91, 4), matrix(92, 4), 0.03
    step = fn(theta, g, times(F), _accept, delta) - theta
    close(0.5 * step @ F @ step, delta, case=(theta, g, times(F), _accept, delta), rtol=1e-4)


EXERCISE = Exercise(solution=trpo_step, cases=cases)
