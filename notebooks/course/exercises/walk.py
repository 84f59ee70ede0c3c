"""walk: a loop that collects experience."""

from __future__ import annotations

from ..check import Exercise, close, require


class Corridor:
    """Squares in a row; action +1 goes right, -1 left. A step pays 1 for the square it leaves and 10 for where it ends.

    It terminates on the last square and is truncated after `limit` steps. `reset()` gives square 0.
    """

    def __init__(self, squares: int, limit: int):
        self.squares, self.limit = squares, limit

    def reset(self) -> int:
        self.square, self.steps = 0, 0
        return self.square

    def step(self, action: int):
        """(square, reward, terminated, truncated), never both flags at once."""
        left, self.steps = self.square, self.steps + 1
        self.square = min(max(left + action, 0), self.squares - 1)
        terminated = self.square == self.squares - 1
        return self.square, float(left + 10 * self.square), terminated, not terminated and self.steps >= self.limit

    def __repr__(self):
        return f"Corridor({self.squares} squares, limit {self.limit})"


def the_loop(env, act, steps):
    """The loop of the notebook: three mistakes from three threads."""
    observation, reward, rows = env.reset(), 0.0, []
    for _ in range(steps):
        action = act(observation)
        row = [observation, action, reward]
        arrived, reward, terminated, truncated = env.step(action)
        done = terminated or truncated
        if done:
            arrived = env.reset()
        rows.append((*row, arrived, done, False))
        observation = arrived
    return rows


def walk(env, act, steps):
    """A list of rows, one a step: (observation, action, reward, arrived, terminated, truncated)."""
    observation, rows = env.reset(), []
    for _ in range(steps):
        action = act(observation)
        arrived, reward, terminated, truncated = env.step(action)
        rows.append((observation, action, reward, arrived, terminated, truncated))
        observation = env.reset() if terminated or truncated else arrived
    return rows


def to_the_right(square):
    return 1


def back_and_forth(square):
    return -1 if square == 2 else 1


def cases():
    return [
        (Corridor(5, 9), to_the_right, 1),
        (Corridor(5, 9), to_the_right, 3),
        (Corridor(3, 9), to_the_right, 5),
        (Corridor(9, 3), to_the_right, 7),
        (Corridor(6, 4), back_and_forth, 11),
    ]


def one_row_a_step(fn):
    rows = fn(Corridor(5, 9), to_the_right, 3)
    require(len(rows) == 3 and all(len(row) == 6 for row in rows), got=rows)


def own_reward(fn):
    case = Corridor(5, 9), to_the_right, 3
    close([row[2] for row in fn(*case)], [10.0, 21.0, 32.0], case=case)


def true_arrival(fn):
    case = Corridor(3, 9), to_the_right, 3
    close([row[3] for row in fn(*case)], [1, 2, 1], case=case)


def flags_apart(fn):
    case = Corridor(9, 3), to_the_right, 4
    got = [tuple(map(bool, row[4:])) for row in fn(*case)]
    want = [(False, False), (False, False), (False, True), (False, False)]
    close(got, want, case=case)


def starts_anew(fn):
    case = Corridor(3, 9), to_the_right, 5
    close([row[0] for row in fn(*case)], [0, 1, 0, 1, 0], case=case)


EXERCISE = Exercise(solution=walk, cases=cases, check_dtype=False)
