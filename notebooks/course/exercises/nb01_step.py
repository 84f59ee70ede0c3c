"""Notebook 01, exercise 01.step: what one move does. The other exercises are in nb01_maze.py."""

from __future__ import annotations

import numpy as np

from ..check.spec import Exercise, Mistake, close, require

# ---- 01.step: what one move does ---------------------------------------------


def step(state, action):
    """One move in the 4x4 maze: where the robot stands afterwards, and what it is paid."""
    row, column = divmod(state, 4)
    row += (-1, 1, 0, 0)[action]  # up, down, left, right
    column += (0, 0, -1, 1)[action]
    if row not in range(4) or column not in range(4):
        return state, -1.0  # a bump: the robot stays
    next_state = 4 * row + column
    return next_state, 1.0 if next_state == 15 else -0.1


def _step_cases():
    return [(state, action) for state in range(15) for action in range(4)]  # the robot never acts on the goal, 15


def _bumps(state):
    row, column = divmod(state, 4)
    return [a for a, bump in enumerate((row == 0, row == 3, column == 0, column == 3)) if bump]


def _bump_stays(fn):
    """A bump leaves the robot where it is and pays -1."""
    for state in range(15):
        for action in _bumps(state):
            close(tuple(fn(state, action)), (state, -1.0), case=(state, action))


def _goal_pays_one(fn):
    """Entering the goal pays 1.0, and nothing else on top of it."""
    for case in ((11, 1), (14, 3)):
        close(tuple(fn(*case)), (15, 1.0), case=case)


def _whole_squares(fn):
    """The square is a whole number, an int: it picks a row of the policy's table."""
    for case in _step_cases():
        arrived = fn(*case)[0]
        named = "_square_with_decimals" if isinstance(arrived, float) and arrived == step(*case)[0] else ""
        require(isinstance(arrived, (int, np.integer)), case=case, got=arrived, mistake=named)


def _one_square_further(fn):
    """A move that is not a bump changes the row or the column by one, and never both."""
    for state, action in _step_cases():
        if action not in _bumps(state):
            arrived = fn(state, action)[0]
            require(0 <= arrived < 16, case=(state, action), got=arrived)
            (r0, c0), (r1, c1) = divmod(state, 4), divmod(int(arrived), 4)
            require(abs(r1 - r0) + abs(c1 - c0) == 1, case=(state, action), got=arrived)


def _and_back(fn):
    """Up undoes down, and left undoes right, unless a wall is in the way."""
    for state, action in _step_cases():
        arrived = fn(state, action)[0]
        if action not in _bumps(state) and arrived != 15:
            close(fn(int(arrived), (1, 0, 3, 2)[action])[0], state, case=(state, action))


def _wraps_to_the_next_row(state, action):
    arrived = state + (-4, 4, -1, 1)[action]
    if arrived not in range(16):
        return state, -1.0
    return arrived, 1.0 if arrived == 15 else -0.1


def _wraps_round(state, action):
    row, column = divmod(state, 4)
    row, column = (row + (-1, 1, 0, 0)[action]) % 4, (column + (0, 0, -1, 1)[action]) % 4
    arrived = 4 * row + column
    return arrived, 1.0 if arrived == 15 else -0.1


def _free_bumps(state, action):
    arrived, reward = step(state, action)
    return arrived, max(reward, -0.1)


def _bump_and_step(state, action):
    arrived, reward = step(state, action)
    return arrived, -1.1 if reward == -1.0 else reward


def _goal_and_step(state, action):
    arrived, reward = step(state, action)
    return arrived, 0.9 if arrived == 15 else reward


def _asks_the_old_square(state, action):
    arrived, reward = step(state, action)
    return arrived, 1.0 if state == 15 else -0.1 if reward > 0 else reward


def _columns_first(state, action):
    return step(state, (2, 3, 0, 1)[action])


def _up_is_down(state, action):
    return step(state, (1, 0, 2, 3)[action])


def _left_is_right(state, action):
    return step(state, (0, 1, 3, 2)[action])


def _reward_first(state, action):
    return step(state, action)[::-1]


def _only_the_square(state, action):
    return step(state, action)[0]


def _square_with_decimals(state, action):
    arrived, reward = step(state, action)
    return arrived / 1, reward


STEP = Exercise(
    id="01.step",
    title="One move in the maze",
    solution=step,
    cases=_step_cases,
    properties=[_whole_squares, _bump_stays, _one_square_further, _and_back, _goal_pays_one],
    check_dtype=False,
    picture=lambda fn: _draw_moves(fn),
    mistakes=[
        Mistake(
            _wraps_to_the_next_row,
            "From the right edge your robot walks into the next row: 4 follows 3 in counting, not in the maze. "
            "Split the number into row and column first.",
        ),
        Mistake(
            _wraps_round,
            "Your robot leaves on one side and comes in on the other. Here the edge of the maze is a wall.",
            "MultiAgentLearning/playground issue 82",
        ),
        Mistake(_free_bumps, "The robot stays, as it should, but a bump costs 1.0, not 0.1."),
        Mistake(_bump_and_step, "A bump costs 1.0 instead of the step's 0.1, not on top of it."),
        Mistake(_goal_and_step, "The move that enters the goal pays 1.0 instead of the step's -0.1; you paid both."),
        Mistake(
            _asks_the_old_square,
            "The goal never pays. Did you ask where the robot stood before the move? Ask where it stands after it.",
        ),
        Mistake(
            _columns_first,
            "Rows and columns are swapped: up and down must change the row, that is the number by 4.",
            "Farama-Foundation/Gymnasium issue 1395",
        ),
        Mistake(
            _up_is_down,
            "Up and down are swapped. Row 0 is the top row, so up makes the row smaller.",
            "rlberry-py/rlberry issue 84",
        ),
        Mistake(
            _left_is_right, "Left and right are swapped. Column 0 is on the left, so left makes the column smaller."
        ),
        Mistake(_reward_first, "The two are swapped: first the square, then the reward, `return next_state, reward`."),
        Mistake(_only_the_square, "Only the square came back. Return two things: `return next_state, reward`."),
        Mistake(_square_with_decimals, "A square's number must be an int: write 4, not 4.0, and `//`, not `/`."),
    ],
    hints=[
        "Square 6 lies in row 1, column 2: 6 = 4 * 1 + 2. `divmod(6, 4)` gives the pair.",
        "Change the row or the column by one. If either has left 0..3, it was a bump: return the old state and -1.0.",
        "Otherwise the new square is `4 * row + column`, and the reward depends on one question: is it 15?",
    ],
)


def _draw_moves(fn):
    """Every move as an arrow: where it leads, coloured by what it pays; a bar across is a bump."""
    from ..pictures.style import INK, MUTED, NEGATIVE, POSITIVE, figure

    fig, ax = figure(width=3.4, height=3.4, title="Where your moves lead")
    ax.set(xlim=(-0.6, 3.6), ylim=(3.6, -0.6), aspect="equal")
    ax.set_axis_off()
    colours, bumps = {1.0: POSITIVE, -0.1: MUTED, -1.0: NEGATIVE}, 0
    for state, action in _step_cases():
        arrived, reward = [*np.atleast_1d(fn(state, action)), 0.0][:2]  # a reward may be missing
        (y, x), (dx, dy) = divmod(state, 4), ((0, -1), (0, 1), (-1, 0), (1, 0))[action]
        row, column = divmod(int(arrived), 4)
        stays, bumps = arrived == state, bumps + (arrived == state)
        tip = (x + 0.42 * dx, y + 0.42 * dy) if stays else (column - 0.27 * dx, row - 0.27 * dy)
        style = "|-|,widthA=0,widthB=0.25" if stays else "-|>"
        look = {"arrowstyle": style, "color": colours.get(round(float(reward), 6), INK), "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", xy=tip, xytext=(x + 0.2 * dx, y + 0.2 * dy), arrowprops={**look, "linewidth": 1.8})
    for state in range(16):
        ax.text(state % 4, state // 4, "G" if state == 15 else state, ha="center", va="center")
    return fig, f"Where each of the 60 moves leads; {bumps} are bumps. Green pays 1, orange costs 1, grey costs 0.1."
