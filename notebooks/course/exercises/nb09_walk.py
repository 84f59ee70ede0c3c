"""Exercise 09.walk: repair the loop that collects experience. Every row must tell of one step, and of no other."""

from __future__ import annotations

from ..check.spec import Exercise, Mistake, close, require
from ..check.texts import written


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


def _cases():
    return [
        (Corridor(5, 9), to_the_right, 1),
        (Corridor(5, 9), to_the_right, 3),
        (Corridor(3, 9), to_the_right, 5),
        (Corridor(9, 3), to_the_right, 7),
        (Corridor(6, 4), back_and_forth, 11),
    ]


def _one_row_a_step(fn):
    """One row a step, with six entries."""
    rows = fn(Corridor(5, 9), to_the_right, 3)
    require(len(rows) == 3 and all(len(row) == 6 for row in rows), got=rows)


def _own_reward(fn):
    """The reward in a row is what the action of this row earned."""
    case = Corridor(5, 9), to_the_right, 3
    close([row[2] for row in fn(*case)], [10.0, 21.0, 32.0], case=case)


def _true_arrival(fn):
    """`arrived` is where the step led, before anything is reset."""
    case = Corridor(3, 9), to_the_right, 3
    close([row[3] for row in fn(*case)], [1, 2, 1], case=case)


def _flags_apart(fn):
    """An episode cut off by its time limit is truncated, not terminated."""
    case = Corridor(9, 3), to_the_right, 4
    got = [tuple(map(bool, row[4:])) for row in fn(*case)]
    want = [(False, False), (False, False), (False, True), (False, False)]
    close(got, want, case=case)


def _starts_anew(fn):
    """After an episode has ended, the next row begins at the start."""
    case = Corridor(3, 9), to_the_right, 5
    close([row[0] for row in fn(*case)], [0, 1, 0, 1, 0], case=case)


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


def _late_reward(env, act, steps):
    rows = walk(env, act, steps)
    late = [0.0] + [row[2] for row in rows[:-1]]
    return [(*row[:2], reward, *row[3:]) for row, reward in zip(rows, late)]


def _arrived_after_reset(env, act, steps):
    return [(*row[:3], 0 if row[4] or row[5] else row[3], *row[4:]) for row in walk(env, act, steps)]


def _one_flag(env, act, steps):
    return [(*row[:4], row[4] or row[5], False) for row in walk(env, act, steps)]


def _no_reset(env, act, steps):
    observation, rows = env.reset(), []
    for _ in range(steps):
        action = act(observation)
        arrived, reward, terminated, truncated = env.step(action)
        rows.append((observation, action, reward, arrived, terminated, truncated))
        observation = arrived
    return rows


def _wasted_row(env, act, steps):
    observation, over, rows = env.reset(), False, []
    for _ in range(steps):
        action = act(observation)
        if over:
            arrived, reward, terminated, truncated = env.reset(), 0.0, False, False
        else:
            arrived, reward, terminated, truncated = env.step(action)
        rows.append((observation, action, reward, arrived, terminated, truncated))
        observation, over = arrived, terminated or truncated
    return rows


def _observation_after(env, act, steps):
    return [(row[3], *row[1:]) for row in walk(env, act, steps)]


def _reset_when_terminated(env, act, steps):
    observation, rows = env.reset(), []
    for _ in range(steps):
        action = act(observation)
        arrived, reward, terminated, truncated = env.step(action)
        rows.append((observation, action, reward, arrived, terminated, truncated))
        observation = env.reset() if terminated else arrived
    return rows


WALK = Exercise(
    id="09.walk",
    title="A loop that collects experience",
    solution=walk,
    cases=_cases,
    properties=[_one_row_a_step, _own_reward, _true_arrival, _flags_apart, _starts_anew],
    check_dtype=False,
    mistakes=[
        Mistake(
            the_loop,
            "This is the loop as it stands above. Begin with the reward: which step earned the number in row 0?",
            "openai/spinningup issue 50, EmbodiChain issue 610, vwxyzjn/cleanrl issue 198",
        ),
        Mistake(
            _late_reward,
            "Each row holds the reward of the step before it. Append the row after `env.step`.",
            "openai/spinningup issue 50",
        ),
        Mistake(
            _arrived_after_reset,
            "`arrived` was overwritten by the reset: a truncated episode is then valued at the start square. Keep what "
            "`env.step` gave, and reset into `observation`.",
            "EmbodiChain issue 610",
        ),
        Mistake(
            _one_flag,
            "The two flags became one. After a truncation the future still counts; after a termination it does not.",
            "vwxyzjn/cleanrl issues 198 and 311, pull request 448",
        ),
        Mistake(_no_reset, "Nothing is reset: after the first end the robot goes on from where the episode was over."),
        Mistake(
            _wasted_row,
            "One row after each end is no step of anybody: the environment only started anew. Reset in the row that "
            "ends, so that no such row is made.",
        ),
        Mistake(
            _observation_after,
            "The first entry of a row is what the robot saw when it chose the action, not where that led.",
        ),
        *written(walk),
        Mistake(_reset_when_terminated, "A truncated episode has ended too. Reset after either flag."),
    ],
    hints=[
        "Say each row aloud: seen, chosen, earned, arrived, and why it ended. Which entries tell of another step?",
        "Append the row once, after `env.step`, from its own four answers. Reset only into `observation`.",
        "`rows.append((observation, action, reward, arrived, terminated, truncated))`, then "
        "`observation = env.reset() if terminated or truncated else arrived`.",
    ],
)
