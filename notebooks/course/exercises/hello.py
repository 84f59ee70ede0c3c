"""hello: what PPO counts for one move."""

from ..check import Exercise, close, examples, require, rows


def ppo_objective(before, now, advantage):
    """The smaller of ratio * advantage and clipped * advantage, for one move: the heart of PPO."""
    ratio = now / before
    clipped = min(max(ratio, 0.8), 1.2)
    return min(ratio * advantage, clipped * advantage)


cases = rows("hello")


def never_above(fn):
    for before, now, advantage in cases():
        got = fn(before, now, advantage)
        require(got <= now / before * advantage + 1e-9, case=(before, now, advantage), got=got)


def ratio_alone_counts(fn):
    close(fn(0.4, 0.44, 2.0), fn(0.2, 0.22, 2.0), case=(0.4, 0.44, 2.0))


def draw_chances(fn):
    """The learner's objective while the chance of a move grows, for one that went better and one that went worse."""
    from ..pictures import NEGATIVE, POSITIVE, figure, key, stroke

    fig, ax = figure(width=6, height=2.8, xlabel="chance of the move now (before: 0.4)", ylabel="what PPO counts")
    now = [x / 100 for x in range(5, 96)]
    curves = [[float(fn(0.4, x, advantage)) for x in now] for advantage in (1.0, -1.0)]
    for curve, meaning, name in zip(curves, (POSITIVE, NEGATIVE), ("better than usual", "worse than usual")):
        ax.plot(now, curve, **stroke(meaning), label=name)
    key(ax, loc="lower left")
    return fig, {"most": max(curves[0]), "least": min(curves[1])}


EXERCISE = Exercise(solution=ppo_objective, cases=cases, suite=examples("hello"), picture=draw_chances)
