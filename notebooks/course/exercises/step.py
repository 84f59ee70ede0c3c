"""step: one move in the maze."""

import numpy as np

from ..check import Exercise, close, require


def step(state, action):
    """One move in the 4x4 maze: where the robot stands afterwards, and what it is paid."""
    row, column = divmod(state, 4)
    row += (-1, 1, 0, 0)[action]  # up, down, left, right
    column += (0, 0, -1, 1)[action]
    if row not in range(4) or column not in range(4):
        return state, -1.0  # a bump: the robot stays
    next_state = 4 * row + column
    return next_state, 1.0 if next_state == 15 else -0.1


def cases():
    return [(state, action) for state in range(15) for action in range(4)]  # the robot never acts on the goal, 15


def _bumps(state):
    row, column = divmod(state, 4)
    return [a for a, bump in enumerate((row == 0, row == 3, column == 0, column == 3)) if bump]


def bump_stays(fn):
    for state in range(15):
        for action in _bumps(state):
            close(tuple(fn(state, action)), (state, -1.0), case=(state, action))


def goal_pays_one(fn):
    for case in ((11, 1), (14, 3)):
        close(tuple(fn(*case)), (15, 1.0), case=case)


def whole_squares(fn):
    for case in cases():
        arrived = fn(*case)[0]
        named = "square_with_decimals" if isinstance(arrived, float) and arrived == step(*case)[0] else ""
        require(isinstance(arrived, (int, np.integer)), case=case, got=arrived, mistake=named)


def one_square_further(fn):
    for state, action in cases():
        if action not in _bumps(state):
            arrived = fn(state, action)[0]
            require(0 <= arrived < 16, case=(state, action), got=arrived)
            (r0, c0), (r1, c1) = divmod(state, 4), divmod(int(arrived), 4)
            require(abs(r1 - r0) + abs(c1 - c0) == 1, case=(state, action), got=arrived)


def and_back(fn):
    for state, action in cases():
        arrived = fn(state, action)[0]
        if action not in _bumps(state) and arrived != 15:
            close(fn(int(arrived), (1, 0, 3, 2)[action])[0], state, case=(state, action))


def draw_moves(fn):
    """Every move as an arrow: where it leads, coloured by what it pays; a bar across is a bump."""
    from ..pictures.style import INK, MUTED, NEGATIVE, POSITIVE, figure

    fig, ax = figure(width=3.4, height=3.4, title="Where your moves lead")
    ax.set(xlim=(-0.6, 3.6), ylim=(3.6, -0.6), aspect="equal")
    ax.set_axis_off()
    colours, bumps = {1.0: POSITIVE, -0.1: MUTED, -1.0: NEGATIVE}, 0
    for state, action in cases():
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
    return fig, {"bumps": bumps}


EXERCISE = Exercise(solution=step, cases=cases, check_dtype=False, picture=draw_moves)
