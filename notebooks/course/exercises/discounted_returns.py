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


EXERCISE = Exercise(solution=returns, cases=cases, check_dtype=False, suite=examples("discounted_returns"))
