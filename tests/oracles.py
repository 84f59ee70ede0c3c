"""The maze once more, in plain Python and numpy and by other methods: what the tests believe instead of our code."""

import numpy as np

UP, DOWN, LEFT, RIGHT = range(4)
MAZES = {
    "plain": {},
    "2x2": {"size": 2},
    "6x6": {"size": 6},
    "walls": {"walls": [5, 6, 9]},
    "slippery": {"slip": 0.2},
    "ice": {"slip": 1.0},
    "slippery with walls": {"size": 5, "walls": [6, 7, 16, 18], "slip": 0.35},
    "goal in the middle": {"goal": 9},
}


def plain_maze(size=4, walls=(), slip=0.0, goal=None, step=-0.1, bump=-1.0, arrive=1.0):
    """P[s, a, s'] and r[s, a] from the rules, square by square; goal and walls lead nowhere and pay nothing."""
    goal = size * size - 1 if goal is None else goal
    P, r = np.zeros((size * size, 4, size * size)), np.zeros((size * size, 4))
    for s in range(size * size):
        if s == goal or s in walls:
            continue
        moves = []
        for row, column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = s // size + row, s % size + column
            blocked = not (0 <= y < size and 0 <= x < size) or y * size + x in walls
            there = s if blocked else y * size + x
            moves.append((there, bump if blocked else arrive if there == goal else step))
        for action in range(4):
            for taken, (there, reward) in enumerate(moves):
                chance = slip / 4 + (1 - slip) * (taken == action)
                P[s, action, there] += chance
                r[s, action] += chance * reward
    return P, r


def iterate_values(P, r, gamma, probs=None, sweeps=100_000):
    """V by sweeping the Bellman equation until it stands still: of the policy `probs`, or of the best one (None)."""
    V = np.zeros(len(r))
    for _ in range(sweeps):
        Q = r + gamma * P @ V
        new = Q.max(1) if probs is None else (probs * Q).sum(1)
        if np.abs(new - V).max() < 1e-13:
            return new
        V = new
    raise AssertionError("the values did not settle")


def random_policy(seed, states=16, spread=1.0):
    """A table of probabilities (states, 4), every one of them positive."""
    weights = np.exp(spread * np.random.default_rng(seed).normal(size=(states, 4)))
    return weights / weights.sum(1, keepdims=True)


def within(samples, truth, sigmas=4.0):
    """Does the mean of independent samples (N, ...) lie within `sigmas` standard errors of `truth`, entry by entry?"""
    samples = np.asarray(samples, dtype=float)
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    assert np.all(error > 0), "samples that never vary show nothing"
    return bool(np.all(np.abs(samples.mean(0) - np.asarray(truth)) <= sigmas * error))
