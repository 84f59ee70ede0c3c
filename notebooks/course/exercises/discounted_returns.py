"""discounted_returns: the return from every step on."""

from ..check import Exercise, examples, require, rows


def returns(rewards, gamma):
    """The return from every step on, by G_t = r_t + gamma * G_{t+1}, from the last step to the first."""
    G, result = 0.0, []
    for reward in reversed(rewards):
        G = reward + gamma * G
        result.append(G)
    return result[::-1]


cases = rows("discounted_returns")


def recursion(fn):
    for rewards, gamma in cases():
        G = [float(x) for x in fn(rewards, gamma)]
        for t, (r, now, later) in enumerate(zip(rewards, G, [*G[1:], 0.0])):
            require(abs(now - (r + gamma * later)) < 1e-6, f"It does not at t = {t}.", case=(rewards, gamma), got=G)


def draw_returns(fn):
    """The learner's returns of a walk with one bump, at two discounts."""
    from ..pictures import NAMES, dots, figure, key

    fig, ax = figure(width=6, height=2.6, xlabel="t step", ylabel="return $G_t$")
    rewards, starts = [-0.1, -1.0, -0.1, -0.1, -0.1, -0.1, 1.0], {}
    for gamma, colour in ((1.0, NAMES[0]), (0.5, NAMES[1])):
        G = [float(x) for x in fn(rewards, gamma)]
        ax.plot(G, **{**dots(colour), "linestyle": "-"}, label=f"γ = {gamma}")
        starts["all" if gamma == 1 else "half"] = G[0]
    key(ax, loc="upper left")
    return fig, starts


EXERCISE = Exercise(
    solution=returns, cases=cases, check_dtype=False, suite=examples("discounted_returns"), picture=draw_returns
)
