"""trpo_step: a step of KL delta, checked before it is taken."""

import torch

from ..check import Exercise, close, rows
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


def _world(seed, n, delta, bend=0.0, stretch=1.0, judge=""):
    """The arguments in a small world: gain = g·d - bend |d|^2, KL = stretch * 1/2 d F d; or another judge of a step."""
    theta, g, F = draw(seed, n), draw(seed + 1, n), matrix(seed + 2, n)

    def evaluate(new):
        d = new - theta
        return g @ d - bend * (d @ d), stretch * 0.5 * (d @ F @ d)

    return theta, g, times(F), JUDGES.get(judge, evaluate), delta


def _accept(new):
    return 1.0, 0.0


def _no_gain(new):
    return 0.0, 0.0


def _all_of_it(new):
    return 1.0, 0.03


JUDGES = {"accept": _accept, "no gain": _no_gain, "all of it": _all_of_it}
cases = rows("trpo_step", _world)


def length_is_delta(fn):
    theta, g, F, delta = draw(90, 4), draw(91, 4), matrix(92, 4), 0.03
    step = fn(theta, g, times(F), _accept, delta) - theta
    close(0.5 * step @ F @ step, delta, case=(theta, g, times(F), _accept, delta), rtol=1e-4)


EXERCISE = Exercise(solution=trpo_step, cases=cases)
