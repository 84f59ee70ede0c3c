"""discounted_returns: the return from every step on."""

from ..check.spec import Exercise, close, require


def returns(rewards, gamma):
    """The return from every step on, by G_t = r_t + gamma * G_{t+1}, from the last step to the first."""
    G, result = 0.0, []
    for reward in reversed(rewards):
        G = reward + gamma * G
        result.append(G)
    return result[::-1]


def cases():
    walk = [-0.1, -1.0, -0.1, -0.1, -1.0, -0.1, 1.0]
    short = [([1.0], 0.5), ([-0.1, 1.0], 0.5), ([1.0, 2.0, 4.0], 0.5), ([-1.0, -0.1, 1.0], 0.0)]
    return [*short, ([0.0, 0.0, 1.0, 0.0], 0.9), (walk, 1.0), (walk, 0.9)]


def recursion(fn):
    for rewards, gamma in cases():
        G = [float(x) for x in fn(rewards, gamma)]
        for t, (r, now, later) in enumerate(zip(rewards, G, [*G[1:], 0.0])):
            require(abs(now - (r + gamma * later)) < 1e-6, f"It does not at t = {t}.", case=(rewards, gamma), got=G)


def two_steps(fn):
    close(fn([3.0, 5.0], 0.1), [3.5, 5.0], case=([3.0, 5.0], 0.1))


EXERCISE = Exercise(solution=returns, cases=cases, check_dtype=False)
