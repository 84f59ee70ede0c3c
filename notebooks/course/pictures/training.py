"""Pictures of a training in the maze: J of many robots over the updates, and a replay of arrows beside J.

J lies between -100 (bumping for ever at gamma 0.99) and 0.46, and what matters happens near 0. So its axis is
stretched there: -100 to -10 gets about as much room as -10 to -1. Left out: axes for other rewards.
"""

from __future__ import annotations

import numpy as np

from .curves import fan
from .maze_figures import array, draw_maze
from .panel import Panel
from .replay import Replay
from .style import EXACT, NEW, dots, figure, key, show, stroke

BEST = 0.4609  # J of the best policy in the plain maze at gamma 0.99


def j_axis(ax, *, low: float = -130.0, best: float = BEST) -> None:
    """Make `ax`'s y axis one for J from `low` to 0.8, with the best possible J as a dashed line and a legend above."""
    ax.set_yscale("asinh", linear_width=0.3)
    ticks = {t: f"{t}".replace("-", "−") for t in (-100, -10, -1, 0) if t > low}
    ax.set(ylim=(low, 0.8), ylabel="J (stretched near 0)", yticks=[*ticks], yticklabels=[*ticks.values()])
    ax.minorticks_off()
    ax.axhline(best, **stroke(EXACT, linewidth=1.2, linestyle="--"), zorder=1, label="best possible")
    key(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0, borderaxespad=0.3)


def show_fan(J, alt: str, *, best: float = BEST) -> None:
    """Show J (updates + 1, robots) as a fan and print how it ends. alt may use {low}, {middle}, {high}, {worst}."""
    J = array(J)
    fig, ax = figure(width=6, height=3, xlabel="update", xlim=(0, len(J) - 1))
    fan(ax, np.arange(len(J)), J.T, label=f"median of {J.shape[1]} robots")
    j_axis(ax, best=best)
    low, middle, high = np.percentile(J[-1], [10, 50, 90])
    show(fig, alt.format(low=low, middle=middle, high=high, worst=J[-1].min()))
    print(f"J at the end: median {middle:.2f}; one robot in ten is below {low:.2f}, one in ten above {high:.2f}")


def training_replay(maze, tables, J, *, controls: dict | None = None, best: float = BEST) -> Panel:
    """Arrows and J over the updates. tables: (updates + 1, robots, S, 4) probabilities, J: (updates + 1, robots).

    controls: a control named `robot` chooses whose training is shown; without it, robot 0's.
    """
    tables, J = array(tables), array(J)
    fig, (left, right) = figure(2, width=8, height=3.4, width_ratios=[1, 1.5])
    picture = draw_maze(left, maze, probs=tables[0, 0])
    (curve,) = right.plot([], [], **stroke(NEW), animated=True)
    (point,) = right.plot([], [], **dots(NEW, markersize=9), animated=True)
    right.set(xlim=(-0.5, len(J) - 0.5), xlabel="update")
    j_axis(right, low=-130 if J.min() < -20 else -20, best=best)

    def draw(step, robot=0):
        picture.update(probs=tables[step, robot])
        curve.set_data(np.arange(len(J)), J[:, robot])
        point.set_data([step], [J[step, robot]])
        return fig, {"J": J[step, robot]}

    alt = "Arrows and J after {step} updates: J = {J:.3f}."
    return Replay(len(tables), draw, alt, label="k update", controls=controls)
